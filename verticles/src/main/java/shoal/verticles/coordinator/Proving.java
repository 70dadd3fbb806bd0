package shoal.verticles.coordinator;

import io.vertx.core.Future;
import io.vertx.core.Promise;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import shoal.codec.base.Endpoint;
import shoal.codec.base.NodeId;
import shoal.codec.command.Command;
import shoal.codec.command.Result;
import shoal.codec.metainfo.ModelManifest;
import shoal.codec.wire.ErrorCode;
import shoal.codec.wire.Frame;
import shoal.codec.wire.Sampling;
import shoal.codec.wire.TokenLogprob;
import shoal.verticles.bus.Local;
import shoal.verticles.config.Profile;

/** Has every stage note what goes through it while some tokens are generated, for who wants to see that they all took part. */
final class Proving {
    private static final Duration ASK_TIMEOUT = Duration.ofSeconds(5);
    private static final Duration GENERATION = Duration.ofSeconds(60);
    private static final int TRACE_SECONDS = 90;

    private final Generations generations;
    private final Commands commands;
    private final Profile profile;

    Proving(Generations generations, Commands commands, Profile profile) {
        this.generations = generations;
        this.commands = commands;
        this.profile = profile;
    }

    Future<Local.Proof> prove(Model model, Pipeline through, Local.AskProof wish) {
        var nodes = new TreeSet<NodeId>();
        through.hops().forEach(hop -> nodes.add(hop.node().id()));
        List<Integer> prompt = model.tokens(
                wish.prompt(),
                true,
                wish.tokens(),
                Sampling.GREEDY,
                model.config().contextLength());
        return toAll(nodes, new Command.Trace(TRACE_SECONDS), Result.Receipts.class)
                .compose(_ -> generate(model, through, prompt, wish.tokens()))
                .compose(done -> toAll(nodes, new Command.Trace(0), Result.Receipts.class)
                        .compose(receipts -> toAll(nodes, new Command.GetCapabilities(), Result.Capabilities.class)
                                .map(capabilities -> proof(model, through, prompt, done, receipts, capabilities))));
    }

    /** A generation that is over. @param trouble why it broke, else empty */
    private record Done(long session, List<Integer> tokens, String trouble) {}

    private Future<Done> generate(Model model, Pipeline through, List<Integer> prompt, int maxTokens) {
        Promise<Done> over = Promise.promise();
        var tokens = new ArrayList<Integer>();
        var id = new long[1];
        id[0] = generations.run(
                model, through, prompt, maxTokens, Sampling.GREEDY, 0, "verify", new Generations.Listener() {
                    @Override
                    public boolean token(int token, float logProbability, List<TokenLogprob> top) {
                        tokens.add(token);
                        return false;
                    }

                    @Override
                    public void finished(Frame.StopReason reason) {
                        over.tryComplete(new Done(id[0], List.copyOf(tokens), ""));
                    }

                    @Override
                    public void failed(ErrorCode code, String message) {
                        over.tryComplete(new Done(id[0], List.copyOf(tokens), message));
                    }
                });
        return over.future().timeout(GENERATION.toSeconds(), TimeUnit.SECONDS).recover(_ -> {
            generations.cancel(id[0]);
            return Future.succeededFuture(
                    new Done(id[0], List.copyOf(tokens), "no end of it within " + GENERATION.toSeconds() + " s"));
        });
    }

    /** Answers of those that answer. */
    private <T extends Result> Future<Map<NodeId, T>> toAll(Iterable<NodeId> nodes, Command command, Class<T> result) {
        Map<NodeId, T> answers = new HashMap<>();
        var asking = new ArrayList<Future<?>>();
        for (NodeId node : nodes) {
            asking.add(commands.ask(node, command, result, ASK_TIMEOUT).onSuccess(answer -> answers.put(node, answer)));
        }
        return Future.join(asking).transform(_ -> Future.succeededFuture(answers));
    }

    private Local.Proof proof(
            Model model,
            Pipeline through,
            List<Integer> prompt,
            Done done,
            Map<NodeId, Result.Receipts> receipts,
            Map<NodeId, Result.Capabilities> capabilities) {
        var files = new ArrayList<Local.ProvenFile>();
        for (Pipeline.Hop hop : through.hops()) {
            ModelManifest.Shard shard = hop.shard();
            files.add(new Local.ProvenFile(
                    shard.name(),
                    shard.layers(),
                    shard.piecesRoot(),
                    shard.infoHash().hash(),
                    shard.size(),
                    List.of(hop.node().id())));
        }
        var stages = new ArrayList<Local.ProvenStage>();
        for (int stage = 0; stage < through.hops().size(); stage++) {
            Pipeline.Hop hop = through.hops().get(stage);
            int number = stage;
            Result.Receipts told = receipts.get(hop.node().id());
            Result.Capabilities has = capabilities.get(hop.node().id());
            Result.Receipt receipt = told == null
                    ? null
                    : told.receipts().stream()
                            .filter(each -> each.session() == done.session() && each.stage() == number)
                            .findFirst()
                            .orElse(null);
            boolean loaded = has != null
                    && has.loaded().stream()
                            .anyMatch(shard -> shard.layers().equals(hop.shard().layers())
                                    && shard.piecesRoot().equals(hop.shard().piecesRoot()));
            stages.add(new Local.ProvenStage(
                    hop.node().id(),
                    hop.shard().layers(),
                    loaded,
                    receipt == null ? 0 : receipt.tokensIn(),
                    receipt == null ? null : receipt.hashIn(),
                    receipt == null ? 0 : receipt.tokensOut(),
                    receipt == null ? null : receipt.hashOut(),
                    told == null
                            ? "the node does not answer"
                            : receipt == null ? "the node noted nothing of this generation" : ""));
        }
        return new Local.Proof(
                model.name(),
                model.manifest().modelRoot(),
                model.isUnsplit(),
                profile.cluster().name(),
                profile.bootstrapEndpoints().stream().map(Endpoint::toString).toList(),
                files,
                stages,
                prompt,
                done.tokens(),
                done.trouble());
    }
}

package shoal.verticles.cli;

import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import shoal.codec.base.Endpoint;
import shoal.codec.wire.Frame;
import shoal.verticles.client.SwarmProbe;
import shoal.verticles.identity.ClusterSecret;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** Tells which node would compute what, how fast that would be, and what each node is worth. */
@Command(
        name = "plan",
        description =
                "Which node computes which layers, the milliseconds a token is expected to take, and what each node is worth: "
                        + "of a running swarm (--at or --bootstrap), or of machines that you think of (MODEL --nodes FILE).",
        mixinStandardHelpOptions = true)
final class PlanCommand implements Callable<Integer> {
    @Mixin
    private final CoordinatorDoor door = new CoordinatorDoor();

    @Option(
            names = "--bootstrap",
            paramLabel = "HOST:PORT",
            description = "A machine of a running swarm, asked by QUIC: its coordinators are found through it. "
                    + "One plan for each model that they serve.")
    private List<String> bootstrap = List.of();

    @Option(names = "--secret-file", paramLabel = "FILE", description = "The cluster's secret, if it has one.")
    private @Nullable Path secretFile;

    @Parameters(
            index = "0",
            arity = "0..1",
            paramLabel = "MODEL",
            description = "A model, or the vocabulary file of a split one. Only its header is read.")
    private @Nullable Path model;

    @Option(names = "--nodes", paramLabel = "FILE", description = "Machines as JSON; see docs/SWARM.md.")
    private @Nullable Path nodes;

    @Option(
            names = "--sequences",
            paramLabel = "N",
            description = "For how many sequences at once; 0 for so many that the slowest node alone decides.")
    private @Nullable Integer sequences;

    @Option(names = "--json", description = "Print one JSON object for each plan, each on a line.")
    private boolean json;

    @Override
    public Integer call() throws IOException, InterruptedException {
        Integer wish = sequences;
        if (wish != null && (wish < 0 || wish > Frame.AskPlan.MAX_SEQUENCES)) {
            throw new IOException("--sequences is " + wish + ", allowed are 0.." + Frame.AskPlan.MAX_SEQUENCES + ".");
        }
        Path file = model;
        Path machines = nodes;
        boolean imagined = file != null || machines != null;
        List<JsonNode> plans;
        if (door.isNamed() && bootstrap.isEmpty() && !imagined) {
            plans = List.of(door.get(wish == null ? "plan" : "plan?sequences=" + wish));
        } else if (!door.isNamed() && !bootstrap.isEmpty() && !imagined) {
            plans = ofSwarm(wish);
        } else if (!door.isNamed() && bootstrap.isEmpty() && file != null && machines != null) {
            plans = List.of(
                    JsonMapper.shared().valueToTree(ImaginedSwarm.read(machines).plan(file, wish == null ? 0 : wish)));
        } else {
            throw new IOException(
                    "name a running swarm with --at URL or --bootstrap HOST:PORT, or a model and machines "
                            + "with MODEL --nodes FILE.");
        }
        var out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        for (JsonNode plan : plans) {
            if (json) {
                out.println(JsonMapper.shared().writeValueAsString(plan));
            } else {
                print(plan, out);
            }
        }
        return CommandLine.ExitCode.OK;
    }

    /** Asked from outside, with a key of its own. */
    private List<JsonNode> ofSwarm(@Nullable Integer wish) throws IOException {
        var first = new ArrayList<Endpoint>();
        for (String address : bootstrap) {
            first.add(Endpoint.parse(address));
        }
        ClusterSecret secret = secretFile == null ? null : ClusterSecret.read(secretFile);
        try (var probe = new SwarmProbe(secret, "shoal " + ShoalCommand.Version.number())) {
            var plans = new ArrayList<JsonNode>();
            for (String plan : probe.plans(first, wish)) {
                plans.add(JsonMapper.shared().readTree(plan));
            }
            return plans;
        } catch (JacksonException wrong) {
            throw new IOException("a coordinator told a plan that is no JSON: " + wrong.getOriginalMessage());
        }
    }

    private static void print(JsonNode plan, PrintStream out) {
        out.printf(
                "%s, %d layers%n",
                plan.path("model").asString(), plan.path("layers").asInt());
        for (JsonNode stage : plan.path("stages")) {
            out.printf(
                    Locale.ROOT,
                    "  layers %-9s %-18s %9.2f ms  after a way of %.2f ms%n",
                    range(stage.path("layers")),
                    name(stage.path("node").asString()),
                    stage.path("ms").asDouble(),
                    stage.path("way_ms").asDouble());
        }
        out.printf(
                Locale.ROOT,
                "  and back to the coordinator in %.2f ms%n%n",
                plan.path("way_back_ms").asDouble());
        out.printf(
                Locale.ROOT,
                "%.2f ms a token, %.1f tokens/s for one sequence, up to %.1f for many (the slowest node takes %.2f ms)%n",
                plan.path("ms_per_token").asDouble(),
                plan.path("tokens_per_second").asDouble(),
                plan.path("tokens_per_second_of_many").asDouble(),
                plan.path("slowest_ms").asDouble());
        out.println("minimised: " + plan.path("minimised").asString());
        if (!plan.path("exact").asBoolean()) {
            out.println("best of many placements that were tried; there are too many nodes to try all");
        }
        if (!plan.path("measured").asBoolean()) {
            out.println("some nodes have not been measured yet; they are taken for as fast as the one in the middle");
        }
        out.println();
        for (JsonNode node : plan.path("nodes")) {
            var copies = new StringBuilder();
            node.path("copies")
                    .forEach(
                            range -> copies.append(copies.isEmpty() ? "" : ", ").append(range(range)));
            out.printf(
                    "  %-18s %s%s%n",
                    name(node.path("node").asString()),
                    node.path("why").asString(),
                    copies.isEmpty() ? "" : "; holds copies of layers " + copies);
        }
    }

    private static String range(JsonNode layers) {
        return layers.path(0).asInt() + "-" + layers.path(1).asInt();
    }

    /** Node ids in short. */
    private static String name(String node) {
        return node.length() == 64 ? node.substring(0, 8) : node;
    }
}

package shoal.verticles.coordinator;

import io.vertx.core.Future;
import io.vertx.core.Vertx;
import java.time.Duration;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import shoal.codec.base.Endpoint;
import shoal.codec.base.Hash256;
import shoal.codec.command.CommandException;
import shoal.codec.metainfo.InfoHash;
import shoal.codec.wire.Frame;
import shoal.codec.wire.StreamKind;
import shoal.verticles.bus.Addresses;
import shoal.verticles.bus.CommandBus;
import shoal.verticles.bus.Local;
import shoal.verticles.config.Profile;
import shoal.verticles.quic.QuicEndpoint;

/** Finds the model that is to be served at a bootstrap, and fetches as much of it as a coordinator needs. */
final class ModelFinder {
    private static final Logger LOG = LoggerFactory.getLogger(ModelFinder.class);
    private static final Duration ASK_TIMEOUT = Duration.ofSeconds(10);

    private final Vertx vertx;
    private final QuicEndpoint endpoint;
    private final CommandBus bus;
    private final Profile profile;

    ModelFinder(Vertx vertx, QuicEndpoint endpoint, CommandBus bus, Profile profile) {
        this.vertx = vertx;
        this.endpoint = endpoint;
        this.bus = bus;
        this.profile = profile;
    }

    Future<Model> find() {
        return findVocabulary(0)
                .compose(this::fetch)
                .onSuccess(found -> LOG.info(
                        "model {}: {} layers in {} shards",
                        found.manifest().modelName(),
                        found.manifest().layerCount(),
                        found.manifest().shards().size()));
    }

    /** Of an unsplit model the header is enough. */
    private Future<Model> fetch(Frame.FileEntry file) {
        boolean isCut = !isVocabulary(file.name());
        var wish = new Local.FetchFile(
                trusted(file), file.name(), List.of(), isCut ? new Local.Part.Header() : new Local.Part.Whole());
        int stages = profile.coordinator().nodes();
        return bus.ask(Addresses.FETCH, wish, Local.FileFetched.class)
                .compose(fetched -> vertx.executeBlocking(() -> isCut
                        ? Model.cut(
                                fetched.path(),
                                file.name(),
                                fetched.piecesRoot(),
                                new InfoHash(file.infoHash()),
                                stages)
                        : Model.read(fetched.path())));
    }

    private static boolean isVocabulary(String name) {
        return name.endsWith("vocabulary.gguf");
    }

    /** A file that is neither a shard nor a vocabulary file, by its name. */
    private static boolean mayBeWholeModel(String name) {
        return name.endsWith(".gguf") && !isVocabulary(name) && !name.matches(".*shard-\\d+\\.gguf");
    }

    private static boolean isCalled(Frame.FileEntry file, @Nullable String wanted) {
        return wanted == null
                || wanted.equals(file.infoHash().toHex())
                || wanted.equals(file.piecesRoot().toHex())
                || file.name().equals(wanted)
                || file.name().equals(wanted + "-vocabulary.gguf")
                || file.name().equals(wanted + ".gguf");
    }

    /** The hash to fetch by: the one that the profile names, rather than the one that a bootstrap says belongs to it. */
    private Hash256 trusted(Frame.FileEntry file) {
        boolean byInfoHash =
                file.infoHash().toHex().equals(profile.coordinator().model());
        return byInfoHash ? file.infoHash() : file.piecesRoot();
    }

    /** The vocabulary file that the profile names, or the only one that a bootstrap seeds; else a model that is not split. */
    private Future<Frame.FileEntry> findVocabulary(int index) {
        List<Endpoint> bootstrap = profile.bootstrapEndpoints();
        if (index >= bootstrap.size()) {
            return Future.failedFuture(
                    new CommandException(
                            "no bootstrap seeds a vocabulary file or a model"
                                    + (profile.coordinator().model() == null
                                            ? ""
                                            : " of " + profile.coordinator().model())
                                    + ". Put a model into the rendezvous' seed directory, or run there: shoal split MODEL --out SEED_DIRECTORY."));
        }
        return endpoint.connect(bootstrap.get(index))
                .compose(peer -> peer.ask(StreamKind.PIECES, new Frame.ListFiles(), ASK_TIMEOUT))
                .compose(frame -> {
                    if (!(frame instanceof Frame.FileList(var files))) {
                        return findVocabulary(index + 1);
                    }
                    String wanted = profile.coordinator().model();
                    var named = files.stream()
                            .filter(file -> isCalled(file, wanted))
                            .toList();
                    var found = named.stream()
                            .filter(file -> isVocabulary(file.name()))
                            .toList();
                    if (found.isEmpty()) {
                        found = named.stream()
                                .filter(file -> mayBeWholeModel(file.name()))
                                .toList();
                    }
                    if (found.size() > 1) {
                        return Future.failedFuture(new CommandException("the bootstrap seeds several models: "
                                + String.join(
                                        ", ",
                                        found.stream()
                                                .map(Frame.FileEntry::name)
                                                .toList())
                                + ". Name one with coordinator.model."));
                    }
                    return found.isEmpty() ? findVocabulary(index + 1) : Future.succeededFuture(found.getFirst());
                });
    }
}

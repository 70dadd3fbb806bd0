package shoal.verticles.push;

import io.vertx.core.Future;
import io.vertx.core.VerticleBase;
import java.nio.file.Path;
import java.util.Set;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import shoal.codec.base.NodeId;
import shoal.codec.wire.ErrorCode;
import shoal.codec.wire.StreamKind;
import shoal.verticles.bus.CommandBus;
import shoal.verticles.config.Profile;
import shoal.verticles.quic.FrameStream;
import shoal.verticles.quic.QuicEndpoint;
import shoal.verticles.store.ShardStore;

/** Takes files from those who may push, verifies every piece, and puts whole files into the seed directory. */
public final class PushVerticle extends VerticleBase {
    private static final Logger LOG = LoggerFactory.getLogger(PushVerticle.class);

    private final QuicEndpoint endpoint;
    private final ShardStore store;
    private final CommandBus bus;
    private final Profile profile;
    private final Set<NodeId> allowed;

    /** @throws shoal.verticles.config.ProfileException if the profile's push section makes no sense */
    public PushVerticle(QuicEndpoint endpoint, ShardStore store, CommandBus bus, Profile profile) {
        this.endpoint = endpoint;
        this.store = store;
        this.bus = bus;
        this.profile = profile;
        allowed = profile.push().allowed();
        profile.push().storedName("shard-v1-0.gguf"); // says now if pattern or replacement are wrong
    }

    @Override
    public Future<?> start() {
        endpoint.onStream(StreamKind.PUSH, this::accept);
        return Future.succeededFuture();
    }

    private void accept(FrameStream stream) {
        NodeId id = stream.peer().id();
        if (!allowed.contains(id)) {
            LOG.warn("{} wants to push and may not; push.allow would have to name {}", stream.peer(), id.toHex());
            stream.refuse(
                    ErrorCode.NOT_ALLOWED,
                    "this key may not push here. Add " + id.toHex() + " to push.allow in the rendezvous' profile.");
            return;
        }
        String seeds = profile.store().seedDirectory();
        Path target = seeds == null ? store.shardsDirectory() : Path.of(seeds);
        new PushReceiver(vertx, stream, store, bus, target, profile.push()::storedName).start();
    }
}

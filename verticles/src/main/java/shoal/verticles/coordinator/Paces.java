package shoal.verticles.coordinator;

import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.NodeId;
import shoal.codec.pipeline.Pace;
import shoal.codec.pipeline.StageLoad;

/** Looks at what stages say that they computed, and tells when one has become slow. One event loop. */
final class Paces {
    private final Pace pace = new Pace();
    private final Consumer<NodeId> slow;
    private @Nullable Pipeline looked;
    private long[] tokens = new long[0];
    private long[] micros = new long[0];

    /** @param slow told of a node that computes much slower than it did */
    Paces(Consumer<NodeId> slow) {
        this.slow = slow;
    }

    /** A micro-batch has come back through a pipeline that is in use. */
    void look(StageLoad load, Pipeline through) {
        int stages = Math.min(load.stages(), through.hops().size());
        if (looked != through || tokens.length != stages) {
            looked = through;
            tokens = new long[stages];
            micros = new long[stages];
            for (int stage = 0; stage < stages; stage++) {
                tokens[stage] = load.tokens(stage);
                micros[stage] = load.busyMicros(stage);
            }
            return;
        }
        for (int stage = 0; stage < stages; stage++) {
            long moreTokens = load.tokens(stage) - tokens[stage];
            long moreMicros = load.busyMicros(stage) - micros[stage];
            tokens[stage] = load.tokens(stage);
            micros[stage] = load.busyMicros(stage);
            NodeId node = through.hops().get(stage).node().id();
            if (moreTokens > 0 && pace.computed(node, (int) moreTokens, moreMicros)) {
                slow.accept(node);
            }
        }
    }

    /** A node computes other layers now than before. */
    void forget(NodeId node) {
        pace.forget(node);
    }
}

package shoal.codec.command;

import static shoal.codec.base.Bounds.requireRange;

import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.Bounds;
import shoal.codec.base.Contact;
import shoal.codec.base.Hash256;
import shoal.codec.base.LayerRange;
import shoal.codec.base.NodeId;
import shoal.codec.wire.Frame;

/** What a machine answers when it has done as asked. */
public sealed interface Result {
    /** To LOAD_SHARD: {@code status} is "loaded". */
    record ShardReady(int shardId, String path, LayerRange layers) implements Result {}

    /** To UNLOAD_SHARD: {@code status} is "unloaded". */
    record ShardDropped(int shardId) implements Result {}

    /** One file that can be had. */
    record FileInfo(Hash256 infoHash, String filename, long size) {}

    /** To LIST_FILES. */
    record Files(List<FileInfo> files) implements Result {
        public Files {
            files = List.copyOf(files);
        }
    }

    /** One shard that is loaded. @param memoryBytes what it takes, with keys and values of one sequence; 0 if unknown */
    record LoadedShard(int shardId, LayerRange layers, Hash256 piecesRoot, long memoryBytes) {
        public LoadedShard {
            Bounds.requireRange("memory_bytes", memoryBytes, 0, Long.MAX_VALUE);
        }
    }

    /**
     * To GET_CAPABILITIES.
     *
     * @param shardId the shard that the node is pinned to, or else the first that is loaded, or null
     * @param pinnedShard the only shard that the node wants, or null
     * @param loaded shards whose layers are ready
     * @param onDisk pieces roots of whole files that are here
     * @param pid of the process, 0 if unknown
     * @param devices that layers could run on beside the CPU
     * @param speeds how fast it was measured to be, for each type of weights that it has run
     */
    record Capabilities(
            @Nullable Integer shardId,
            @Nullable Integer pinnedShard,
            NodeId node,
            String role,
            String software,
            List<LoadedShard> loaded,
            List<Hash256> onDisk,
            int cores,
            long memoryBytes,
            String kernels,
            long pid,
            Contact contact,
            List<ComputeDevice> devices,
            List<Speed> speeds)
            implements Result {
        public Capabilities {
            speeds = List.copyOf(speeds);
            devices = List.copyOf(devices);
            loaded = List.copyOf(loaded);
            onDisk = List.copyOf(onDisk);
        }

        /** The same, but for how fast it is. */
        public Capabilities withSpeeds(List<Speed> others) {
            return new Capabilities(
                    shardId,
                    pinnedShard,
                    node,
                    role,
                    software,
                    loaded,
                    onDisk,
                    cores,
                    memoryBytes,
                    kernels,
                    pid,
                    contact,
                    devices,
                    others);
        }
    }

    /**
     * A device that computes, such as a GPU.
     *
     * @param id as users name it: {@code opencl:0}
     * @param name as its driver tells it
     * @param driver with its version
     * @param bytesPerSecond that it copies within its memory, reads and writes counted; 0 where it was not measured
     */
    record ComputeDevice(String id, String name, String driver, long memoryBytes, long bytesPerSecond) {}

    /**
     * How fast a node computes one token.
     *
     * @param weights the type of most of a model's weights, such as Q8_0
     * @param bytesPerSecond bytes of layers that a token passes in a second, as was seen
     * @param mayReach as fast it may be in truth, since the machine may have been busy
     */
    record Speed(String weights, long bytesPerSecond, long mayReach) {
        public static final int MAX_SPEEDS = 64;

        public Speed {
            Bounds.requireText("weights", weights, 32);
            Bounds.requireRange("bytes_per_second", bytesPerSecond, 1, Long.MAX_VALUE / 1_000_000);
            Bounds.requireRange("may_reach", mayReach, bytesPerSecond, Long.MAX_VALUE / 1_000);
        }
    }

    /** To PING_PEERS: those that answered. */
    record RoundTrips(List<RoundTrip> peers) implements Result {
        public RoundTrips {
            peers = List.copyOf(peers);
        }
    }

    /** From a node to another and back. */
    record RoundTrip(NodeId node, long micros) {
        public RoundTrip {
            Bounds.requireRange("micros", micros, 0, 3_600_000_000L);
        }
    }

    /** To TRACE. */
    record Receipts(List<Receipt> receipts) implements Result {
        public Receipts {
            receipts = List.copyOf(receipts);
        }
    }

    /**
     * What went in and out of one stage for one session.
     *
     * @param tokensIn tokens whose ids or activations came in
     * @param hashIn SHA-256 of the activations' bytes as they travelled, token after token; of token ids as u32 where these came in
     * @param tokensOut tokens whose activations went on, or that were sampled, and hashOut likewise
     */
    record Receipt(
            long session,
            int stage,
            LayerRange layers,
            long tokensIn,
            Hash256 hashIn,
            long tokensOut,
            Hash256 hashOut) {
        public static final int MAX_RECEIPTS = 64;
    }

    /** To STATUS. */
    record State(NodeId node, String role, String state, int sessions, long uptimeSeconds) implements Result {}

    /**
     * To EXECUTE_TASK: {@code status} is "open" or "closed".
     *
     * @param pages of 16 positions of keys and values that the stage has room for
     * @param fresh whether it knows nothing of earlier epochs
     * @param order in which its kernels add numbers: those of the same order compute the same bits
     * @param outrankedBy the term under which another coordinator works for the model, so that this one's task is refused; 0 if none does
     * @param copies what it was sent of the keys and values of the stage that it takes over from
     */
    record TaskAccepted(
            long pipeline,
            int stage,
            boolean open,
            int pages,
            boolean fresh,
            String order,
            int outrankedBy,
            HeldCopies copies)
            implements Result {
        public static TaskAccepted closed(long pipeline, int stage) {
            return new TaskAccepted(pipeline, stage, false, 0, true, "", 0, HeldCopies.NONE);
        }

        public static TaskAccepted outranked(long pipeline, int stage, int by) {
            return new TaskAccepted(pipeline, stage, false, 0, true, "", by, HeldCopies.NONE);
        }
    }

    /**
     * Copies of keys and values that a node holds for a stage.
     *
     * @param positions of each session, from its first position on; at most {@link #MAX_SESSIONS}
     * @param nanosPerPosition what taking one up was measured to take
     */
    record HeldCopies(Map<Long, Integer> positions, long nanosPerPosition) {
        /** An envelope has room for them. */
        public static final int MAX_SESSIONS = 1024;

        public static final HeldCopies NONE = new HeldCopies(Map.of(), 0);

        public HeldCopies {
            requireRange("sessions with copies", positions.size(), 0, MAX_SESSIONS);
            requireRange("nanos per position", nanosPerPosition, 0, Long.MAX_VALUE);
            positions
                    .values()
                    .forEach(count -> requireRange("copied positions", count, 1, Frame.Activation.MAX_POSITION));
            positions = Map.copyOf(positions);
        }
    }

    /** To STAND_BY: {@code status} is "ready". */
    record StandsBy(int shardId) implements Result {}

    /** To GENERATE. */
    record Generated(List<Integer> promptTokens, List<Integer> tokens, String text, String stopped) implements Result {
        public Generated {
            promptTokens = List.copyOf(promptTokens);
            tokens = List.copyOf(tokens);
        }
    }
}

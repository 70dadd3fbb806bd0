package shoal.codec.command;

import java.util.List;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.Contact;
import shoal.codec.base.Hash256;
import shoal.codec.base.LayerRange;
import shoal.codec.base.NodeId;

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

    /** One shard that is loaded. */
    record LoadedShard(int shardId, LayerRange layers, Hash256 piecesRoot) {}

    /**
     * To GET_CAPABILITIES.
     *
     * @param shardId the shard that the node is pinned to, or else the first that is loaded, or null
     * @param pinnedShard the only shard that the node wants, or null
     * @param loaded shards whose layers are ready
     * @param onDisk pieces roots of whole files that are here
     * @param pid of the process, 0 if unknown
     * @param devices that layers could run on beside the CPU
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
            List<ComputeDevice> devices)
            implements Result {
        public Capabilities {
            devices = List.copyOf(devices);
            loaded = List.copyOf(loaded);
            onDisk = List.copyOf(onDisk);
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

    /** To STATUS. */
    record State(NodeId node, String role, String state, int sessions, long uptimeSeconds) implements Result {}

    /**
     * To EXECUTE_TASK: {@code status} is "open" or "closed".
     *
     * @param pages of 16 positions of keys and values that the stage has room for
     * @param fresh whether it knows nothing of earlier epochs
     * @param order in which its kernels add numbers: those of the same order compute the same bits
     */
    record TaskAccepted(long pipeline, int stage, boolean open, int pages, boolean fresh, String order)
            implements Result {}

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

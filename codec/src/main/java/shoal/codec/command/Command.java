package shoal.codec.command;

import static shoal.codec.base.Bounds.requireRange;
import static shoal.codec.base.Bounds.requireText;

import java.util.List;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.Contact;
import shoal.codec.base.Epoch;
import shoal.codec.base.Hash256;
import shoal.codec.base.LayerRange;
import shoal.codec.wire.ActivationType;
import shoal.codec.wire.Frame;
import shoal.codec.wire.Sampling;

/** What a machine is asked to do. */
public sealed interface Command {
    int MAX_SHARD_ID = 65_535;
    int MAX_NAME_BYTES = 255;

    /** The envelope's {@code command}. */
    String name();

    /**
     * Get a shard and make its layers ready. The reply comes when they are, however long it takes.
     *
     * @param model name of the model, if who asks knows it
     * @param layers the shard's range, if who asks knows it
     * @param infoHash of the shard's file (or its pieces root), if who asks knows it; the coordinator always does
     */
    record LoadShard(
            int shardId,
            @Nullable String model,
            @Nullable LayerRange layers,
            @Nullable Hash256 infoHash) implements Command {
        public static final String NAME = "LOAD_SHARD";

        public LoadShard {
            requireRange("shard_id", shardId, 0, MAX_SHARD_ID);
            if (model != null) {
                requireText("model", model, MAX_NAME_BYTES);
            }
        }

        @Override
        public String name() {
            return NAME;
        }
    }

    /**
     * Drop a shard's layers from memory; its file stays.
     *
     * @param layers only these, where shards of several cuts or models have one number
     * @param infoHash only of this file (or its pieces root)
     */
    record UnloadShard(
            int shardId,
            @Nullable LayerRange layers,
            @Nullable Hash256 infoHash) implements Command {
        public static final String NAME = "UNLOAD_SHARD";

        /** Whatever has the number. */
        public UnloadShard(int shardId) {
            this(shardId, null, null);
        }

        public UnloadShard {
            requireRange("shard_id", shardId, 0, MAX_SHARD_ID);
        }

        @Override
        public String name() {
            return NAME;
        }
    }

    /** Which files can be had from the machine. */
    record ListFiles() implements Command {
        public static final String NAME = "LIST_FILES";

        @Override
        public String name() {
            return NAME;
        }
    }

    /** What the machine is and has loaded. */
    record GetCapabilities() implements Command {
        public static final String NAME = "GET_CAPABILITIES";

        @Override
        public String name() {
            return NAME;
        }
    }

    /** How the machine is now. */
    record Status() implements Command {
        public static final String NAME = "STATUS";

        @Override
        public String name() {
            return NAME;
        }
    }

    /**
     * Be a stage of a pipeline under an epoch, or be it no longer. Carries no prompt: tokens and activations go by QUIC. What a stage of the
     * same place and layers holds from older epochs stays.
     *
     * @param pipeline what frames call it
     * @param stage index of this stage in the pipeline, from 0
     * @param shardId whose layers the stage runs
     * @param infoHash of the shard, so that it can be loaded if it is missing
     * @param next who gets the activations; null for the last stage, which samples
     * @param coordinator who gets sampled tokens and failures
     * @param contextLength most positions that a sequence may take
     * @param close whether the node is to be that stage no longer
     * @param term under which the coordinator works for the model
     */
    record ExecuteTask(
            long pipeline,
            Epoch epoch,
            int stage,
            int shardId,
            LayerRange layers,
            Hash256 infoHash,
            @Nullable Contact next,
            Contact coordinator,
            ActivationType activations,
            int contextLength,
            boolean close,
            Term term)
            implements Command {
        public static final String NAME = "EXECUTE_TASK";
        public static final String TASK_TYPE = "ai_inference";

        public ExecuteTask {
            requireRange("stage", stage, 0, Frame.GenerationStarted.MAX_STAGES - 1);
            requireRange("shard_id", shardId, 0, MAX_SHARD_ID);
            requireRange("context_length", contextLength, 1, Frame.Activation.MAX_POSITION);
        }

        @Override
        public String name() {
            return NAME;
        }
    }

    /**
     * Under which term a coordinator works for a model: a node that has heard of a later one, or of another coordinator's in this one,
     * refuses.
     *
     * @param model pieces root of the whole model
     * @param number from 1
     */
    record Term(Hash256 model, int number) {
        public Term {
            requireRange("term", number, 1, Integer.MAX_VALUE);
        }
    }

    /**
     * Be ready to take over a stage at once: its layers are loaded; run them for a moment, so that all code on the way is compiled,
     * and open connections to those who would be next to it.
     *
     * @param neighbours the stages before and behind, where there are any, and the coordinator
     */
    record StandBy(int shardId, LayerRange layers, Hash256 infoHash, List<Contact> neighbours) implements Command {
        public static final String NAME = "STAND_BY";
        public static final int MAX_NEIGHBOURS = 8;

        public StandBy {
            requireRange("shard_id", shardId, 0, MAX_SHARD_ID);
            requireRange("neighbours", neighbours.size(), 0, MAX_NEIGHBOURS);
            neighbours = List.copyOf(neighbours);
        }

        @Override
        public String name() {
            return NAME;
        }
    }

    /** Told to all: the sender, a node, is up and takes work. */
    record NodeReady() implements Command {
        public static final String NAME = "NODE_READY";

        @Override
        public String name() {
            return NAME;
        }
    }

    /** Ask the coordinator to go on with a text that fits into an envelope; longer ones go by QUIC. */
    record Generate(String prompt, int maxTokens, Sampling sampling) implements Command {
        public static final String NAME = "GENERATE";
        public static final int MAX_PROMPT_BYTES = 32 * 1024;

        public Generate {
            requireText("prompt", prompt, MAX_PROMPT_BYTES);
            requireRange("max_tokens", maxTokens, 1, 4096);
        }

        @Override
        public String name() {
            return NAME;
        }
    }

    /** Told to all: a shard's layers are ready on the sender. */
    record ShardLoaded(int shardId, LayerRange layers) implements Command {
        public static final String NAME = "SHARD_LOADED";

        public ShardLoaded {
            requireRange("shard_id", shardId, 0, MAX_SHARD_ID);
        }

        @Override
        public String name() {
            return NAME;
        }
    }

    /**
     * Told to all: how far the sender is with fetching a shard, or some layers of a model.
     *
     * @param size of what it needs, in bytes
     * @param secondsLeft at the rate of late; null while that says nothing
     * @param layersReady how many of its layers, from the first on, the sender has taken over already; null while it has opened none
     */
    record ShardProgress(
            int shardId,
            long verifiedBytes,
            long size,
            @Nullable Integer secondsLeft,
            @Nullable Integer layersReady) implements Command {
        public static final String NAME = "SHARD_PROGRESS";
        public static final int MAX_SECONDS_LEFT = 31_536_000;

        public ShardProgress {
            requireRange("shard_id", shardId, 0, MAX_SHARD_ID);
            requireRange("verified_bytes", verifiedBytes, 0, size);
            if (secondsLeft != null) {
                requireRange("seconds_left", secondsLeft, 0, MAX_SECONDS_LEFT);
            }
            if (layersReady != null) {
                requireRange("layers_ready", layersReady, 0, LayerRange.MAX_LAYERS);
            }
        }

        @Override
        public String name() {
            return NAME;
        }
    }

    /** Ask a node how long packets take between it and others. */
    record PingPeers(List<Contact> peers) implements Command {
        public static final String NAME = "PING_PEERS";
        public static final int MAX_PEERS = 64;

        public PingPeers {
            requireRange("peers", peers.size(), 0, MAX_PEERS);
            peers = List.copyOf(peers);
        }

        @Override
        public String name() {
            return NAME;
        }
    }

    /**
     * Ask a node to note, for some time, what goes in and out of its stages; and for the notes that it has.
     *
     * @param seconds for how long from now on; 0 to ask alone
     */
    record Trace(int seconds) implements Command {
        public static final String NAME = "TRACE";
        public static final int MAX_SECONDS = 600;

        public Trace {
            requireRange("seconds", seconds, 0, MAX_SECONDS);
        }

        @Override
        public String name() {
            return NAME;
        }
    }

    /** All names, for the error that an unknown one gets. */
    List<String> NAMES = List.of(
            LoadShard.NAME,
            UnloadShard.NAME,
            ListFiles.NAME,
            GetCapabilities.NAME,
            Status.NAME,
            ExecuteTask.NAME,
            StandBy.NAME,
            Generate.NAME,
            PingPeers.NAME,
            Trace.NAME,
            ShardLoaded.NAME,
            ShardProgress.NAME,
            NodeReady.NAME);
}

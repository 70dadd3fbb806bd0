package shoal.verticles.inferencestage;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import shoal.bridge.kernel.CacheShape;
import shoal.bridge.kernel.CacheType;
import shoal.bridge.kernel.KernelChoice;
import shoal.bridge.kernel.KernelSettings;
import shoal.bridge.kernel.Kernels;
import shoal.bridge.model.ModelFile;
import shoal.bridge.model.Stage;
import shoal.bridge.model.StageMemory;
import shoal.bridge.model.StageSettings;
import shoal.bridge.model.TensorSource;
import shoal.bridge.model.arch.Architectures;
import shoal.bridge.model.text.Tokenizer;
import shoal.bridge.model.text.Tokenizers;
import shoal.codec.base.ByteRange;
import shoal.codec.base.Hash256;
import shoal.codec.base.LayerRange;
import shoal.codec.command.Result;
import shoal.codec.gguf.LayerWeights;
import shoal.verticles.bus.Local;
import shoal.verticles.config.Profile;

/** The stages that are open in this process, and the kernels they run on. Blocking; safe for several threads. */
public final class StageHost implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(StageHost.class);

    /** Names the one order of sums of all CPU kernels; another name when {@code SumOrder} changes, by whatever bit. */
    private static final String SUM_ORDER = "lanes-16, constants scaled first";

    private static final int MAX_PAGES = 1 << 24;

    /** Short: somebody may come who waits for a stage. */
    private static final long SETTLING_NANOS = 50_000_000;

    private final Kernels kernels;
    private final String kernelsName;
    private final String order;
    private final int maxContext;
    private final CacheType cacheType;
    private final long memoryBytes;
    private final @Nullable SpeedBook speeds;

    /** Which of the stages is measured next; of the computing thread. */
    private int measuredNext;

    /** Of the memory, what weights and caches may fill; others live on a machine that was not told how much to give. */
    private final long fillBytes;

    /** Replaced, never changed: it is read on event loops, which must not wait for who opens a stage. */
    private volatile List<Open> open = List.of();

    private long reservedBytes; // of stages that are being opened
    private boolean closed;

    /** By pieces root, made when a session needs one. */
    private final Map<Hash256, Tokenizer> tokenizers = new ConcurrentHashMap<>();

    /**
     * A stage and the file that its tensors lie in.
     *
     * @param kind of its weights
     * @param tokenBytes that a token passes
     */
    record Open(Local.LoadedShard shard, ModelFile file, Stage stage, String kind, long tokenBytes) {
        void close() {
            stage.close();
            file.close();
        }
    }

    /** One that does not measure how fast it is. */
    public StageHost(Profile.Compute compute) {
        this(compute, null);
    }

    /** @param notes directory in which it keeps how fast it was measured to be, null not to measure */
    public StageHost(Profile.Compute compute, @Nullable Path notes) {
        var settings = new KernelSettings(
                KernelSettings.providerFor(compute.kernels(), compute.device()),
                compute.threadCount(),
                KernelSettings.deviceLayers(compute.deviceLayers()));
        KernelChoice.Opened opened = KernelChoice.open(settings);
        kernels = opened.kernels();
        kernelsName = opened.provider();
        LOG.info("kernels: {} ({})", kernelsName, opened.why());
        speeds = notes == null ? null : new SpeedBook(notes, kernelsName + " " + compute.threadCount());
        order = kernels.keepsSumOrder() ? SUM_ORDER : kernels.name();
        maxContext = compute.contextLength() == 0 ? Integer.MAX_VALUE : compute.contextLength();
        cacheType = CacheType.of(compute.cache());
        memoryBytes = compute.memoryBytes() == 0 ? machineMemoryBytes() : compute.memoryBytes();
        fillBytes = compute.memoryBytes() == 0 ? memoryBytes / 2 : memoryBytes;
    }

    /** What the machine has; layers are mapped, so the heap's bound is not theirs. */
    public static long machineMemoryBytes() {
        return ManagementFactory.getOperatingSystemMXBean() instanceof com.sun.management.OperatingSystemMXBean system
                ? system.getTotalMemorySize()
                : Runtime.getRuntime().maxMemory();
    }

    public String kernelsName() {
        return kernelsName;
    }

    /** Devices that stages could run on beside the CPU; what GPUs copy is measured now, in a few milliseconds each. */
    public static List<Result.ComputeDevice> devices() {
        return KernelChoice.deviceProviders().stream()
                .flatMap(provider -> provider.devices().stream()
                        .map(device -> new Result.ComputeDevice(
                                device.id(),
                                device.name(),
                                device.driver(),
                                device.memoryBytes(),
                                device.processor() ? 0 : Math.round(KernelChoice.measured(provider, device)))))
                .toList();
    }

    /** Nodes that name the same order of sums compute the same bits. */
    String order() {
        return order;
    }

    /** Pages of keys and values that a stage has room for: what weights leave, in equal shares, and one whole context at least. */
    int pages(Stage stage) {
        List<Open> all = open;
        long weights = all.stream()
                .mapToLong(known -> known.stage().memory().weightsBytes())
                .sum();
        long share = (fillBytes - weights) / Math.max(1, all.size());
        long context = Math.ceilDiv(stage.contextLength(), CacheShape.PAGE_POSITIONS);
        return (int) Math.clamp(share / Math.max(1, stage.pageBytes()), context, MAX_PAGES);
    }

    /** What stages may take in all. */
    public long memoryBytes() {
        return memoryBytes;
    }

    /**
     * Opens the layers that lie in a shard file, if they aren't open yet. Of a file that is still coming, each layer is taken over as
     * soon as its bytes are here: this waits, on a thread that may.
     *
     * @throws IOException if the file can't be read, or the rest of it won't come
     * @throws shoal.codec.base.MalformedException if it is no shard that can run here
     * @throws IllegalStateException if there is too little memory; the message names both numbers
     */
    public Local.LoadedShard open(Local.OpenStage wish) throws IOException {
        Local.LoadedShard known = known(wish);
        if (known != null) {
            return known;
        }
        ModelFile file = openFile(wish);
        long needed = 0;
        try {
            file.willSettle(wish.file(), LayerWeights.passed(file.header(), wish.layers()));
            needed = reserve(file, wish.layers());
            Local.Coming coming = wish.coming();
            TensorSource tensors = coming == null ? file : new ComingTensors(file, wish.layers(), coming);
            Stage stage = Architectures.open(tensors, wish.layers(), new StageSettings(kernels, maxContext, cacheType));
            if (!stage.placement().isEmpty()) {
                LOG.info("layers {}, counted from 0: {}", wish.layers(), stage.placement());
            }
            return add(wish, file, stage, needed);
        } catch (UncheckedIOException notComing) {
            file.close();
            throw notComing.getCause();
        } catch (RuntimeException failure) {
            file.close();
            throw failure;
        } finally {
            release(needed);
        }
    }

    private Local.@Nullable LoadedShard known(Local.OpenStage wish) {
        for (Open known : open) {
            if (known.shard().piecesRoot().equals(wish.piecesRoot())
                    && known.shard().layers().equals(wish.layers())) {
                return known.shard();
            }
        }
        return null;
    }

    /** Keeps what the layers need for them while they are opened; says how many bytes. */
    private synchronized long reserve(ModelFile file, LayerRange layers) {
        StageMemory needs = Architectures.memory(file.header(), layers, cacheType);
        int context = Math.min(maxContext, Architectures.config(file.header()).contextLength());
        long needed = needs.totalBytes(1, context);
        long taken = reservedBytes
                + open.stream().mapToLong(stage -> stage.shard().memoryBytes()).sum();
        if (needed > memoryBytes - taken) {
            throw new IllegalStateException(String.format(
                    java.util.Locale.ROOT,
                    "layers %s need %,d bytes for weights and a context of %,d, this node has %,d left of %,d. "
                            + "Use more shards, a shorter compute.contextLength, or a larger compute.memoryBytes.",
                    layers,
                    needed,
                    context,
                    memoryBytes - taken,
                    memoryBytes));
        }
        reservedBytes += needed;
        return needed;
    }

    private synchronized void release(long bytes) {
        reservedBytes -= bytes;
    }

    /** The stage is open from now on, unless somebody else has opened the same meanwhile, or all is closed. */
    private synchronized Local.LoadedShard add(Local.OpenStage wish, ModelFile file, Stage stage, long needed) {
        Local.LoadedShard known = known(wish);
        if (known != null || closed) {
            stage.close();
            if (known == null) {
                throw new IllegalStateException("the process stops");
            }
            file.close();
            return known;
        }
        var shard = new Local.LoadedShard(
                wish.shardId(), wish.layers(), wish.piecesRoot(), wish.infoHash(), wish.file(), needed, kernelsName);
        var more = new ArrayList<>(open);
        more.add(new Open(
                shard,
                file,
                stage,
                LayerWeights.kind(file.header()),
                LayerWeights.tokenBytes(file.header(), wish.layers())));
        open = List.copyOf(more);
        return shard;
    }

    boolean hasStages() {
        return !open.isEmpty();
    }

    /** Tries out for some milliseconds how fast one of the open stages is, each time another; on the computing thread. */
    void measure() {
        SpeedBook book = speeds;
        List<Open> all = open;
        if (book != null && !all.isEmpty()) {
            Open chosen = all.get(measuredNext++ % all.size());
            note(chosen, StageSpeed.tokenNanos(chosen.stage()));
            book.keep(System.nanoTime());
        }
    }

    /** Whether {@link #settle} would do something now. */
    boolean isUnsettled(long nowNanos) {
        return kernels.keepsSumOrder() // else it is not this memory that they read
                && open.stream().anyMatch(known -> known.file().isUnsettled(nowNanos));
    }

    /** Has weights come to memory in large pages, for some milliseconds; on the computing thread. */
    void settle() {
        for (Open known : open) {
            if (known.file().isUnsettled(System.nanoTime())) {
                known.file().settle(SETTLING_NANOS);
                return;
            }
        }
    }

    /** A stage has computed one token, near the beginning of its sequence, in earnest. */
    void computed(Stage stage, long nanos) {
        for (Open known : open) {
            if (known.stage() == stage) {
                note(known, nanos);
            }
        }
    }

    private void note(Open of, long tokenNanos) {
        SpeedBook book = speeds;
        if (book != null) {
            book.measured(of.kind(), of.tokenBytes() * 1e9 / Math.max(1, tokenNanos), System.nanoTime());
        }
    }

    /** How fast stages ran here, for each kind of weights. */
    public List<Result.Speed> speeds() {
        return speeds == null ? List.of() : speeds.all();
    }

    private static ModelFile openFile(Local.OpenStage wish) throws IOException {
        List<ByteRange> here = wish.here();
        Local.Coming coming = wish.coming();
        if (coming != null) {
            return ModelFile.openSparse(wish.file(), coming::holds);
        }
        if (here == null) {
            return ModelFile.open(wish.file());
        }
        return ModelFile.openSparse(
                wish.file(),
                (offset, size) -> size == 0
                        || here.stream().anyMatch(range -> range.offset() <= offset && offset + size <= range.end()));
    }

    /** The open stage of a shard, by its pieces root or its info-hash, or null. */
    @Nullable Stage find(Hash256 hash, LayerRange layers) {
        for (Open known : open) {
            if ((known.shard().piecesRoot().equals(hash)
                            || known.shard().infoHash().equals(hash))
                    && known.shard().layers().equals(layers)) {
                return known.stage();
            }
        }
        return null;
    }

    /**
     * The vocabulary that comes with a shard, or null if the shard is not open. Every shard carries all of the model's metadata.
     *
     * @throws shoal.codec.base.MalformedException if it is no vocabulary that is known here
     */
    @Nullable Tokenizer tokenizer(Hash256 hash, LayerRange layers) {
        for (Open known : open) {
            if ((known.shard().piecesRoot().equals(hash)
                            || known.shard().infoHash().equals(hash))
                    && known.shard().layers().equals(layers)) {
                return tokenizers.computeIfAbsent(
                        known.shard().piecesRoot(),
                        _ -> Tokenizers.of(known.file().header()));
            }
        }
        return null;
    }

    /** The open shards. */
    public List<Local.LoadedShard> loaded() {
        return open.stream().map(Open::shard).toList();
    }

    /** Closes a stage; nothing may run on it. Says whether it was open. */
    synchronized boolean close(Hash256 piecesRoot, LayerRange layers) {
        for (Open known : open) {
            if (known.shard().piecesRoot().equals(piecesRoot)
                    && known.shard().layers().equals(layers)) {
                open = open.stream().filter(other -> other != known).toList();
                tokenizers.remove(piecesRoot);
                known.close();
                return true;
            }
        }
        return false;
    }

    /** Where a layer range's file header says it begins and ends. */
    public static LayerRange layersOf(Path shard) throws IOException {
        try (ModelFile file = ModelFile.open(shard)) {
            var header = file.header();
            int last = Architectures.config(header).layers() - 1;
            return new LayerRange(
                    header.intValue(shoal.codec.gguf.ShardKeys.LAYERS_FIRST, 0),
                    header.intValue(shoal.codec.gguf.ShardKeys.LAYERS_LAST, last));
        }
    }

    @Override
    public synchronized void close() {
        closed = true;
        List<Open> closing = open;
        open = List.of();
        closing.forEach(Open::close);
        kernels.close();
    }
}

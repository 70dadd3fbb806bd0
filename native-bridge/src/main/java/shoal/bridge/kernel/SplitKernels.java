package shoal.bridge.kernel;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import shoal.codec.gguf.GgmlType;

/**
 * Kernels that share a stage: the first take its first layers, and so on; the last take what is left, at least all that follows the
 * last layer. Activations pass from one to the next through memory of the host. Owns them all.
 */
public final class SplitKernels implements Kernels {
    /** As many layers as have room. */
    public static final int AS_MANY_AS_FIT = -1;

    private final List<Share> shares;

    /** @param layers of a stage that these kernels take, at most; or {@link #AS_MANY_AS_FIT} */
    public record Share(Kernels kernels, int layers) {}

    /** A matrix that nobody has taken over yet. */
    private record Given(GgmlType type, int rows, int columns, MemorySegment mapped) implements PreparedWeights {}

    /** @param shares one and more; what is said of the last one's layers is not asked for */
    public SplitKernels(List<Share> shares) {
        this.shares = List.copyOf(shares);
    }

    @Override
    public String name() {
        return shares.stream().map(share -> share.kernels().name()).collect(Collectors.joining(" and "));
    }

    @Override
    public Set<GgmlType> supportedTypes() {
        Set<GgmlType> types = EnumSet.allOf(GgmlType.class);
        shares.forEach(share -> types.retainAll(share.kernels().supportedTypes()));
        return types;
    }

    @Override
    public boolean keepsSumOrder() {
        return shares.stream().allMatch(share -> share.kernels().keepsSumOrder());
    }

    @Override
    public PreparedWeights prepare(GgmlType type, int rows, int columns, MemorySegment mapped) {
        if (!supportedTypes().contains(type)) {
            throw new IllegalArgumentException("tensor type " + type + " is not supported; supported are "
                    + supportedTypes().stream().sorted().map(GgmlType::name).collect(Collectors.joining(", ")));
        }
        return new Given(type, rows, columns, mapped);
    }

    @Override
    public int layersThatFit(StageProgram program) {
        return Integer.MAX_VALUE;
    }

    @Override
    public CompiledStage compile(StageProgram program) {
        List<SplitStage.Part> parts = new ArrayList<>();
        try {
            StageProgram rest = program;
            int layers = program.cache().layers();
            int done = 0;
            for (int i = 0; i < shares.size(); i++) {
                Kernels kernels = shares.get(i).kernels();
                StageProgram taken = takenOver(rest, kernels);
                int left = rest.cache().layers();
                int count = i + 1 == shares.size() ? left : layersOf(shares.get(i), taken);
                if (count >= left) {
                    parts.add(new SplitStage.Part(kernels, taken, kernels.compile(taken), done, layers - 1));
                    break;
                }
                if (count > 0) {
                    ProgramCut.Halves halves = new ProgramCut(rest).behind(count);
                    StageProgram first = takenOver(halves.first(), kernels);
                    parts.add(new SplitStage.Part(kernels, first, kernels.compile(first), done, done + count - 1));
                    rest = halves.second();
                    done += count;
                }
            }
        } catch (RuntimeException failure) {
            parts.forEach(part -> part.stage().close());
            throw failure;
        }
        boolean asWished = parts.size() == 1
                && parts.getFirst().kernels() == shares.getFirst().kernels();
        return asWished ? parts.getFirst().stage() : new SplitStage(parts);
    }

    private static int layersOf(Share share, StageProgram program) {
        return share.layers() == AS_MANY_AS_FIT ? share.kernels().layersThatFit(program) : share.layers();
    }

    /** A matrix that is named twice is handed over once. */
    private static StageProgram takenOver(StageProgram program, Kernels kernels) {
        Map<PreparedWeights, PreparedWeights> known = new IdentityHashMap<>();
        return ProgramCut.withWeights(
                program,
                weights -> known.computeIfAbsent(
                        weights,
                        _ -> kernels.prepare(
                                weights.type(), weights.rows(), weights.columns(), ((Given) weights).mapped())));
    }

    @Override
    public void close() {
        shares.forEach(share -> share.kernels().close());
    }
}

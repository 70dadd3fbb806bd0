package shoal.bridge.kernel;

import java.lang.foreign.MemorySegment;
import java.util.Set;
import shoal.codec.gguf.GgmlType;

/**
 * Somebody who can run stages: a CPU with plain loops, one with the Vector API, a native library, a GPU. Weights are handed over
 * once, a whole stage is compiled once, and each batch is one call.
 *
 * <h2>Arithmetic</h2>
 *
 * Weights stay as they are stored. With F32, F16 and BF16 weights, activations are F32 (but for tensor cores, which take them rounded to
 * the type of F16 and BF16 weights). With quantised weights, activations are
 * first quantised to blocks of 32: scale = max|x| / 127 (F32), q = x * (127 / max|x|) rounded to the nearest, ties to even; a
 * block whose max is below 1e-30 is all zeros. Products of a block are summed as integers.
 *
 * <h2>Order of sums</h2>
 *
 * A CPU provider adds in one fixed order, so that results do not depend on vector width, threads, chunks or neighbours in a
 * batch, and equal the oracle's bit for bit ({@link SumOrder}). A provider whose order is another says so by
 * {@link #keepsSumOrder()}, and is then held to the oracle within a tolerance; it still must not depend on chunks or neighbours.
 */
public interface Kernels extends AutoCloseable {
    /** One word for logs, such as {@code vector-512}. */
    String name();

    /** Tensor types of matrices that {@link #prepare} takes. */
    Set<GgmlType> supportedTypes();

    /** Whether sums are those of {@link SumOrder} to the last bit. */
    boolean keepsSumOrder();

    /**
     * Takes over a matrix. The bytes must stay mapped until these kernels and all their stages are closed.
     *
     * @param mapped rows * columns values of that type, row after row, as the file has them
     * @throws IllegalArgumentException if the type is not supported or the size does not fit
     */
    PreparedWeights prepare(GgmlType type, int rows, int columns, MemorySegment mapped);

    /** Makes a program runnable; its weights were prepared by these kernels. */
    CompiledStage compile(StageProgram program);

    /** How fast the device that they run on copies within its own memory, reads and writes counted; 0 where there is none. */
    default double copiedBytesPerSecond() {
        return 0;
    }

    /**
     * How many of a program's first layers there is room for, with a usual context; all that follows the last layer counts with it.
     * The program's weights were prepared by these kernels.
     */
    default int layersThatFit(StageProgram program) {
        return Integer.MAX_VALUE;
    }

    @Override
    void close();
}

package shoal.bridge.kernel;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Random;
import shoal.codec.gguf.GgmlType;

/** Random matrices of any type, for tests of other packages. */
public final class RandomWeights {
    private RandomWeights() {}

    /** As {@link KernelAgreementTest#randomBlocks}. */
    public static MemorySegment blocks(GgmlType type, int values, Random random, Arena arena) {
        return KernelAgreementTest.randomBlocks(type, values, random, arena);
    }
}

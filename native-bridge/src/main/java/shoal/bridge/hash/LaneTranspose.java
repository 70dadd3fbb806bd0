package shoal.bridge.hash;

import java.lang.foreign.MemorySegment;
import java.nio.ByteOrder;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/**
 * Turns 64 bytes of each of LANES messages into 16 vectors, one for each word, with one message in each lane: a matrix is
 * transposed by log2(LANES) rounds of exchanging halves, quarters, … of two rows by one two-source shuffle each.
 */
final class LaneTranspose {
    private static final VectorSpecies<Integer> SPECIES = IntVector.SPECIES_PREFERRED;
    private static final int LANES = SPECIES.length();
    private static final int WORDS = 16;

    /** What of row i and row i + step makes the new row i, and the new row i + step. */
    private static final IntVector UPPER_1 = upper(1);

    private static final IntVector LOWER_1 = lower(1);
    private static final IntVector UPPER_2 = upper(2);
    private static final IntVector LOWER_2 = lower(2);
    private static final IntVector UPPER_4 = upper(4);
    private static final IntVector LOWER_4 = lower(4);
    private static final IntVector UPPER_8 = upper(8);
    private static final IntVector LOWER_8 = lower(8);

    private LaneTranspose() {}

    private static IntVector upper(int step) {
        var index = new int[LANES];
        for (int i = 0; i < LANES; i++) {
            index[i] = (i & step) == 0 ? i : LANES + i - step;
        }
        return IntVector.fromArray(SPECIES, index, 0);
    }

    private static IntVector lower(int step) {
        var index = new int[LANES];
        for (int i = 0; i < LANES; i++) {
            index[i] = (i & step) == 0 ? (i + step) % LANES : LANES + i;
        }
        return IntVector.fromArray(SPECIES, index, 0);
    }

    private static IntVector load(MemorySegment data, long offset, boolean bigEndian) {
        IntVector words = IntVector.fromMemorySegment(SPECIES, data, offset, ByteOrder.LITTLE_ENDIAN);
        return bigEndian ? words.lanewise(VectorOperators.REVERSE_BYTES) : words;
    }

    /** Word t of message i goes to target[t * LANES + i]; target has room for 16 * LANES. */
    static void words(MemorySegment[] data, long[] offset, long at, int[] target, boolean bigEndian) {
        for (int word = 0; word < WORDS; word += LANES) {
            int base = word * LANES;
            for (int row = 0; row < LANES; row += 4) {
                long from = at + 4L * word;
                IntVector r0 = load(data[row], offset[row] + from, bigEndian);
                IntVector r1 = load(data[row + 1], offset[row + 1] + from, bigEndian);
                IntVector r2 = load(data[row + 2], offset[row + 2] + from, bigEndian);
                IntVector r3 = load(data[row + 3], offset[row + 3] + from, bigEndian);
                IntVector s0 = UPPER_1.selectFrom(r0, r1);
                IntVector s1 = LOWER_1.selectFrom(r0, r1);
                IntVector s2 = UPPER_1.selectFrom(r2, r3);
                IntVector s3 = LOWER_1.selectFrom(r2, r3);
                UPPER_2.selectFrom(s0, s2).intoArray(target, base + row * LANES);
                UPPER_2.selectFrom(s1, s3).intoArray(target, base + (row + 1) * LANES);
                LOWER_2.selectFrom(s0, s2).intoArray(target, base + (row + 2) * LANES);
                LOWER_2.selectFrom(s1, s3).intoArray(target, base + (row + 3) * LANES);
            }
            if (LANES == 8) {
                for (int row = 0; row < 4; row++) {
                    exchange4(target, base + row * LANES, base + (row + 4) * LANES);
                }
            } else if (LANES == 16) {
                for (int row = 0; row < 4; row++) {
                    exchange48(target, row);
                }
            }
        }
    }

    private static void exchange4(int[] target, int first, int second) {
        IntVector r0 = IntVector.fromArray(SPECIES, target, first);
        IntVector r1 = IntVector.fromArray(SPECIES, target, second);
        UPPER_4.selectFrom(r0, r1).intoArray(target, first);
        LOWER_4.selectFrom(r0, r1).intoArray(target, second);
    }

    private static void exchange48(int[] target, int row) {
        IntVector r0 = IntVector.fromArray(SPECIES, target, row * LANES);
        IntVector r1 = IntVector.fromArray(SPECIES, target, (row + 4) * LANES);
        IntVector r2 = IntVector.fromArray(SPECIES, target, (row + 8) * LANES);
        IntVector r3 = IntVector.fromArray(SPECIES, target, (row + 12) * LANES);
        IntVector s0 = UPPER_4.selectFrom(r0, r1);
        IntVector s1 = LOWER_4.selectFrom(r0, r1);
        IntVector s2 = UPPER_4.selectFrom(r2, r3);
        IntVector s3 = LOWER_4.selectFrom(r2, r3);
        UPPER_8.selectFrom(s0, s2).intoArray(target, row * LANES);
        UPPER_8.selectFrom(s1, s3).intoArray(target, (row + 4) * LANES);
        LOWER_8.selectFrom(s0, s2).intoArray(target, (row + 8) * LANES);
        LOWER_8.selectFrom(s1, s3).intoArray(target, (row + 12) * LANES);
    }
}

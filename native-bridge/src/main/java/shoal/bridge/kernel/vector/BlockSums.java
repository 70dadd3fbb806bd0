package shoal.bridge.kernel.vector;

import static shoal.bridge.kernel.vector.Lanes.LEVELS;
import static shoal.bridge.kernel.vector.Lanes.LEVEL_GROUPS;
import static shoal.bridge.kernel.vector.Lanes.LEVEL_WIDTH;
import static shoal.bridge.kernel.vector.Lanes.SUMS;

import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.ShortVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorShuffle;
import shoal.bridge.kernel.SumOrder;
import shoal.bridge.kernel.host.HostBuffer;

/**
 * The exact integer products of one row's blocks with one token's. Two products of 8-bit levels fit 16 bits if one of them is
 * within -127..127 and the other within -128..128; neighbours are then added in 32 bits, and as many blocks as a vector has lanes
 * are folded into one vector of their sums. One thread's scratch.
 */
final class BlockSums {
    private static final int LANES = SumOrder.LANES;

    /** Partial sums that a block leaves behind: 8, or 4 with 128 bits. */
    static final int PARTIALS = SUMS.length();

    private static final VectorShuffle<Integer> BY_4 = swap(4);
    private static final VectorShuffle<Integer> BY_2 = swap(2);
    private static final VectorShuffle<Integer> BY_1 = swap(1);
    private static final VectorMask<Integer> BIT_4 = VectorMask.fromLong(SUMS, 0xf0);
    private static final VectorMask<Integer> BIT_2 = VectorMask.fromLong(SUMS, 0xcc);
    private static final VectorMask<Integer> BIT_1 = VectorMask.fromLong(SUMS, 0xaa);

    private final int parts;
    /** {@link #PARTIALS} per block. */
    final int[] partials;

    private final int[] sums;
    private final int[] factored;

    /** @param parts blocks of 32 columns */
    BlockSums(int parts) {
        this.parts = parts;
        int padded = (parts + PARTIALS - 1) / PARTIALS * PARTIALS;
        partials = new int[padded * PARTIALS];
        sums = new int[padded];
        factored = new int[parts];
    }

    private static VectorShuffle<Integer> swap(int distance) {
        return VectorShuffle.fromOp(SUMS, lane -> (lane ^ distance) % SUMS.length());
    }

    /** Per block of 32 the sum of its products; the same array each time. */
    int[] of(short[] levels, short[] others, int other) {
        multiply(levels, others, other, parts, partials);
        fold();
        return sums;
    }

    /** The same of the partial sums that a {@link RowLoop} left. */
    int[] ofPartials() {
        fold();
        return sums;
    }

    /** The same, but each half's products times its scale. */
    int[] ofHalves(short[] levels, int[] scales, short[] others, int other) {
        multiplyHalves(levels, scales, others, other, parts, partials);
        fold();
        return sums;
    }

    /** Per block the sum of its levels, each times the factor of its half. */
    int[] ofFactors(int[] factors, byte[] levels, int at) {
        for (int part = 0; part < parts; part++) {
            int low = 0;
            int high = 0;
            for (int i = 0; i < LANES; i++) {
                low += levels[at + part * HostBuffer.BLOCK + i];
                high += levels[at + part * HostBuffer.BLOCK + LANES + i];
            }
            factored[part] = factors[2 * part] * low + factors[2 * part + 1] * high;
        }
        return factored;
    }

    private static void multiply(short[] levels, short[] others, int other, int parts, int[] to) {
        for (int part = 0; part < parts; part++) {
            int at = part * HostBuffer.BLOCK;
            IntVector sum = pairs(product(levels, others, at, other + at)
                    .add(product(levels, others, at + LANES, other + at + LANES)));
            if (LEVEL_GROUPS == 2) {
                sum = sum.add(pairs(product(levels, others, at + LEVEL_WIDTH, other + at + LEVEL_WIDTH)
                        .add(product(levels, others, at + LANES + LEVEL_WIDTH, other + at + LANES + LEVEL_WIDTH))));
            }
            sum.intoArray(to, part * PARTIALS);
        }
    }

    private static void multiplyHalves(short[] levels, int[] scales, short[] others, int other, int parts, int[] to) {
        for (int part = 0; part < parts; part++) {
            int at = part * HostBuffer.BLOCK;
            IntVector low = pairs(product(levels, others, at, other + at));
            IntVector high = pairs(product(levels, others, at + LANES, other + at + LANES));
            if (LEVEL_GROUPS == 2) {
                low = low.add(pairs(product(levels, others, at + LEVEL_WIDTH, other + at + LEVEL_WIDTH)));
                high = high.add(
                        pairs(product(levels, others, at + LANES + LEVEL_WIDTH, other + at + LANES + LEVEL_WIDTH)));
            }
            low.mul(scales[2 * part]).add(high.mul(scales[2 * part + 1])).intoArray(to, part * PARTIALS);
        }
    }

    private static ShortVector product(short[] levels, short[] others, int at, int other) {
        return ShortVector.fromArray(LEVELS, levels, at).mul(ShortVector.fromArray(LEVELS, others, other));
    }

    /** Lanes 2i and 2i + 1 added. */
    static IntVector pairs(ShortVector products) {
        IntVector both = products.reinterpretAsInts();
        return both.lanewise(VectorOperators.LSHL, 16)
                .lanewise(VectorOperators.ASHR, 16)
                .add(both.lanewise(VectorOperators.ASHR, 16));
    }

    private void fold() {
        if (PARTIALS == 8) {
            foldEights(partials, sums);
        } else {
            foldFours(partials, sums);
        }
    }

    private static void foldEights(int[] partials, int[] sums) {
        for (int part = 0; part < sums.length; part += 8) {
            int at = part * 8;
            IntVector a = merge(load(partials, at), load(partials, at + 4 * 8), BY_4, BIT_4);
            IntVector b = merge(load(partials, at + 2 * 8), load(partials, at + 6 * 8), BY_4, BIT_4);
            IntVector c = merge(load(partials, at + 8), load(partials, at + 5 * 8), BY_4, BIT_4);
            IntVector d = merge(load(partials, at + 3 * 8), load(partials, at + 7 * 8), BY_4, BIT_4);
            IntVector e = merge(a, b, BY_2, BIT_2);
            IntVector f = merge(c, d, BY_2, BIT_2);
            merge(e, f, BY_1, BIT_1).intoArray(sums, part);
        }
    }

    private static void foldFours(int[] partials, int[] sums) {
        for (int part = 0; part < sums.length; part += 4) {
            int at = part * 4;
            IntVector a = merge(load(partials, at), load(partials, at + 2 * 4), BY_2, BIT_2);
            IntVector b = merge(load(partials, at + 4), load(partials, at + 3 * 4), BY_2, BIT_2);
            merge(a, b, BY_1, BIT_1).intoArray(sums, part);
        }
    }

    private static IntVector load(int[] partials, int at) {
        return IntVector.fromArray(SUMS, partials, at);
    }

    /** Lanes of a without the bit, added to those with it; the same of b where the bit is set. */
    private static IntVector merge(IntVector a, IntVector b, VectorShuffle<Integer> swap, VectorMask<Integer> bit) {
        return a.blend(b, bit).add(b.blend(a, bit).rearrange(swap));
    }
}

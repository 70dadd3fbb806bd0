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

/**
 * The exact integer products of one row's blocks with one token's. A block's products are left as 16 sums of 16 bits; as many blocks
 * as a vector has lanes of 32 bits are then folded into one vector of their sums, in 16 bits as long as they fit: adding neighbours
 * there is one operation where widening them first is four. One thread's scratch.
 */
final class BlockSums {
    /** Sums of 16 bits that a {@link RowLoop} leaves per block or half. */
    static final int PRODUCTS = 16;

    /** Blocks whose low halves, and then high halves, lie one after another. */
    static final int HALVES = 8;

    /** Blocks folded at once: 8, or 4 with 128 bits. */
    private static final int STEP = SUMS.length();

    private static final VectorShuffle<Integer> BY_4 = swap(4);
    private static final VectorShuffle<Integer> BY_2 = swap(2);
    private static final VectorShuffle<Integer> BY_1 = swap(1);
    private static final VectorMask<Integer> BIT_4 = VectorMask.fromLong(SUMS, 0xf0);
    private static final VectorMask<Integer> BIT_2 = VectorMask.fromLong(SUMS, 0xcc);
    private static final VectorMask<Integer> BIT_1 = VectorMask.fromLong(SUMS, 0xaa);

    /** {@link #PRODUCTS} per block. With halves: of 8 low halves, then of 8 high halves, and so on. */
    final short[] products;

    /** Per block two signed bytes: the scale of its low half, and above it that of its high half. */
    final int[] scalePairs;

    /** Per block two bytes: the factor of its low half, and above it that of its high half. */
    final int[] factorPairs;

    private final int parts;
    private final RowLoop.Fold fold;
    private final int[] halfFolded;
    private final int[] halfSums;
    private final int[] sums;
    private final int[] factored;

    /** @param parts blocks of 32 columns @param fold what the loop leaves */
    BlockSums(int parts, RowLoop.Fold fold) {
        this.parts = parts;
        this.fold = fold;
        int padded = (parts + HALVES - 1) / HALVES * HALVES;
        int vectors = fold == RowLoop.Fold.HALVES ? 2 * padded : padded;
        products = new short[vectors * PRODUCTS];
        halfFolded = new int[2 * vectors];
        halfSums = new int[vectors];
        scalePairs = new int[padded];
        factorPairs = new int[padded];
        sums = new int[padded];
        factored = new int[padded];
    }

    private static VectorShuffle<Integer> swap(int distance) {
        return VectorShuffle.fromOp(SUMS, lane -> (lane ^ distance) % SUMS.length());
    }

    /** Per block of 32 the sum of its products; the same array each time. bias times levelSums is added, from index at on. */
    int[] of(int bias, int[] levelSums, int at) {
        switch (fold) {
            case EARLY -> {
                early(products, halfFolded);
                finishEarly(halfFolded, sums);
            }
            case LATE -> {
                late(products, halfFolded);
                finishLate(halfFolded, sums);
            }
            case HALVES -> {
                late(products, halfFolded);
                finishLate(halfFolded, halfSums);
                addHalves(halfSums, scalePairs, sums);
            }
        }
        if (bias != 0) {
            addBias(sums, bias, levelSums, at, parts);
        }
        return sums;
    }

    private static void addBias(int[] sums, int bias, int[] levelSums, int at, int parts) {
        for (int part = 0; part < parts; part++) {
            sums[part] += bias * levelSums[at + part];
        }
    }

    /** Per block the sum of its halves' activation levels, each times its factor. */
    int[] ofFactors(int[] lowSums, int[] highSums, int at) {
        for (int part = 0; part < parts; part++) {
            int both = factorPairs[part];
            factored[part] = (both & 255) * lowSums[at + part] + (both >> 8) * highSums[at + part];
        }
        return factored;
    }

    /** Of every {@link #STEP} blocks two vectors: of the even ones and of the odd ones, two lanes per block. */
    private static void early(short[] products, int[] halfFolded) {
        for (int i = 0; i < halfFolded.length / STEP; i++) {
            int at = start(i);
            if (STEP == 8) {
                IntVector a = merge(wide(products, at), wide(products, at + 4 * PRODUCTS), BY_4, BIT_4);
                IntVector b = merge(wide(products, at + 2 * PRODUCTS), wide(products, at + 6 * PRODUCTS), BY_4, BIT_4);
                merge(a, b, BY_2, BIT_2).intoArray(halfFolded, i * STEP);
            } else {
                merge(wide(products, at), wide(products, at + 2 * PRODUCTS), BY_2, BIT_2)
                        .intoArray(halfFolded, i * STEP);
            }
        }
    }

    /** The same in 16 bits: four of them per block. */
    private static void late(short[] products, int[] halfFolded) {
        for (int i = 0; i < halfFolded.length / STEP; i++) {
            int at = start(i);
            if (STEP == 8) {
                IntVector a = fold(narrow(products, at), narrow(products, at + 4 * PRODUCTS), BY_4, BIT_4);
                IntVector b =
                        fold(narrow(products, at + 2 * PRODUCTS), narrow(products, at + 6 * PRODUCTS), BY_4, BIT_4);
                fold(a, b, BY_2, BIT_2).intoArray(halfFolded, i * STEP);
            } else {
                fold(narrow(products, at), narrow(products, at + 2 * PRODUCTS), BY_2, BIT_2)
                        .intoArray(halfFolded, i * STEP);
            }
        }
    }

    private static int start(int vector) {
        return ((vector >> 1) * STEP + (vector & 1)) * PRODUCTS;
    }

    private static void finishEarly(int[] halfFolded, int[] sums) {
        for (int part = 0; part < sums.length; part += STEP) {
            IntVector even = IntVector.fromArray(SUMS, halfFolded, 2 * part);
            merge(even, IntVector.fromArray(SUMS, halfFolded, 2 * part + STEP), BY_1, BIT_1)
                    .intoArray(sums, part);
        }
    }

    private static void finishLate(int[] halfFolded, int[] sums) {
        for (int part = 0; part < sums.length; part += STEP) {
            IntVector even = IntVector.fromArray(SUMS, halfFolded, 2 * part);
            pairs(fold(even, IntVector.fromArray(SUMS, halfFolded, 2 * part + STEP), BY_1, BIT_1)
                            .reinterpretAsShorts())
                    .intoArray(sums, part);
        }
    }

    private static void addHalves(int[] halfSums, int[] scalePairs, int[] sums) {
        for (int part = 0; part < sums.length; part += STEP) {
            int at = part / HALVES * 2 * HALVES + part % HALVES;
            IntVector scales = IntVector.fromArray(SUMS, scalePairs, part);
            IntVector low = scales.lanewise(VectorOperators.LSHL, 24).lanewise(VectorOperators.ASHR, 24);
            IntVector high = scales.lanewise(VectorOperators.ASHR, 8);
            IntVector.fromArray(SUMS, halfSums, at)
                    .mul(low)
                    .add(IntVector.fromArray(SUMS, halfSums, at + HALVES).mul(high))
                    .intoArray(sums, part);
        }
    }

    /** A block's sums, neighbours added in 32 bits. */
    private static IntVector wide(short[] products, int at) {
        IntVector sum = pairs(ShortVector.fromArray(LEVELS, products, at));
        return LEVEL_GROUPS == 1 ? sum : sum.add(pairs(ShortVector.fromArray(LEVELS, products, at + LEVEL_WIDTH)));
    }

    /** A block's sums, in one vector. */
    private static IntVector narrow(short[] products, int at) {
        ShortVector sum = ShortVector.fromArray(LEVELS, products, at);
        return (LEVEL_GROUPS == 1 ? sum : sum.add(ShortVector.fromArray(LEVELS, products, at + LEVEL_WIDTH)))
                .reinterpretAsInts();
    }

    /** Lanes 2i and 2i + 1 added. */
    private static IntVector pairs(ShortVector products) {
        IntVector both = products.reinterpretAsInts();
        return both.lanewise(VectorOperators.LSHL, 16)
                .lanewise(VectorOperators.ASHR, 16)
                .add(both.lanewise(VectorOperators.ASHR, 16));
    }

    /** Lanes of a without the bit, added to those with it; the same of b where the bit is set. */
    private static IntVector merge(IntVector a, IntVector b, VectorShuffle<Integer> swap, VectorMask<Integer> bit) {
        return a.blend(b, bit).add(b.blend(a, bit).rearrange(swap));
    }

    /** As merge, of pairs of 16 bits. */
    private static IntVector fold(IntVector a, IntVector b, VectorShuffle<Integer> swap, VectorMask<Integer> bit) {
        return a.blend(b, bit)
                .reinterpretAsShorts()
                .add(b.blend(a, bit).rearrange(swap).reinterpretAsShorts())
                .reinterpretAsInts();
    }
}

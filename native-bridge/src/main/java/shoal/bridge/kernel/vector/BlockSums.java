package shoal.bridge.kernel.vector;

import static jdk.incubator.vector.VectorOperators.ASHR;
import static jdk.incubator.vector.VectorOperators.LSHL;
import static shoal.bridge.kernel.vector.Lanes.LEVELS;
import static shoal.bridge.kernel.vector.Lanes.LEVEL_WIDTH;
import static shoal.bridge.kernel.vector.Lanes.SUMS;

import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.ShortVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorShuffle;

/**
 * The exact integer products of one row's blocks with one token's. A block's products are left as 16 sums of 16 bits; as many blocks
 * as a vector has lanes of 32 bits are then folded into one vector of their sums, in 16 bits as long as they fit: adding neighbours
 * there is one operation where widening them first is four. One thread's scratch.
 *
 * <p>The loops call no method of ours between vectors: see {@link RowLoop}.
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
                if (STEP == 8) {
                    early(products, halfFolded);
                } else {
                    earlyInFours(products, halfFolded);
                }
                finishEarly(halfFolded, sums);
            }
            case LATE -> {
                foldLate();
                finishLate(halfFolded, sums);
            }
            case HALVES -> {
                foldLate();
                finishLate(halfFolded, halfSums);
                addHalves(halfSums, scalePairs, sums);
            }
        }
        if (bias != 0) {
            addBias(sums, bias, levelSums, at, parts);
        }
        return sums;
    }

    private void foldLate() {
        if (STEP == 8) {
            late(products, halfFolded);
        } else {
            lateInFours(products, halfFolded);
        }
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
            int at = ((i >> 1) * STEP + (i & 1)) * PRODUCTS;
            IntVector a = ShortVector.fromArray(LEVELS, products, at).reinterpretAsInts();
            IntVector b =
                    ShortVector.fromArray(LEVELS, products, at + 4 * PRODUCTS).reinterpretAsInts();
            IntVector c =
                    ShortVector.fromArray(LEVELS, products, at + 2 * PRODUCTS).reinterpretAsInts();
            IntVector d =
                    ShortVector.fromArray(LEVELS, products, at + 6 * PRODUCTS).reinterpretAsInts();
            a = a.lanewise(LSHL, 16).lanewise(ASHR, 16).add(a.lanewise(ASHR, 16));
            b = b.lanewise(LSHL, 16).lanewise(ASHR, 16).add(b.lanewise(ASHR, 16));
            c = c.lanewise(LSHL, 16).lanewise(ASHR, 16).add(c.lanewise(ASHR, 16));
            d = d.lanewise(LSHL, 16).lanewise(ASHR, 16).add(d.lanewise(ASHR, 16));
            IntVector e = a.blend(b, BIT_4).add(b.blend(a, BIT_4).rearrange(BY_4));
            IntVector f = c.blend(d, BIT_4).add(d.blend(c, BIT_4).rearrange(BY_4));
            e.blend(f, BIT_2).add(f.blend(e, BIT_2).rearrange(BY_2)).intoArray(halfFolded, i * STEP);
        }
    }

    /** The same in 16 bits: four of them per block. */
    private static void late(short[] products, int[] halfFolded) {
        for (int i = 0; i < halfFolded.length / STEP; i++) {
            int at = ((i >> 1) * STEP + (i & 1)) * PRODUCTS;
            IntVector a = ShortVector.fromArray(LEVELS, products, at).reinterpretAsInts();
            IntVector b =
                    ShortVector.fromArray(LEVELS, products, at + 4 * PRODUCTS).reinterpretAsInts();
            IntVector c =
                    ShortVector.fromArray(LEVELS, products, at + 2 * PRODUCTS).reinterpretAsInts();
            IntVector d =
                    ShortVector.fromArray(LEVELS, products, at + 6 * PRODUCTS).reinterpretAsInts();
            ShortVector e = a.blend(b, BIT_4).reinterpretAsShorts();
            ShortVector f = c.blend(d, BIT_4).reinterpretAsShorts();
            IntVector g = e.add(b.blend(a, BIT_4).rearrange(BY_4).reinterpretAsShorts())
                    .reinterpretAsInts();
            IntVector h = f.add(d.blend(c, BIT_4).rearrange(BY_4).reinterpretAsShorts())
                    .reinterpretAsInts();
            g.blend(h, BIT_2)
                    .reinterpretAsShorts()
                    .add(h.blend(g, BIT_2).rearrange(BY_2).reinterpretAsShorts())
                    .reinterpretAsInts()
                    .intoArray(halfFolded, i * STEP);
        }
    }

    /** As early, with 128 bits: four blocks at a time. */
    private static void earlyInFours(short[] products, int[] halfFolded) {
        for (int i = 0; i < halfFolded.length / STEP; i++) {
            int at = ((i >> 1) * STEP + (i & 1)) * PRODUCTS;
            IntVector a = ShortVector.fromArray(LEVELS, products, at).reinterpretAsInts();
            IntVector b =
                    ShortVector.fromArray(LEVELS, products, at + LEVEL_WIDTH).reinterpretAsInts();
            IntVector c =
                    ShortVector.fromArray(LEVELS, products, at + 2 * PRODUCTS).reinterpretAsInts();
            IntVector d = ShortVector.fromArray(LEVELS, products, at + 2 * PRODUCTS + LEVEL_WIDTH)
                    .reinterpretAsInts();
            a = a.lanewise(LSHL, 16).lanewise(ASHR, 16).add(a.lanewise(ASHR, 16));
            b = b.lanewise(LSHL, 16).lanewise(ASHR, 16).add(b.lanewise(ASHR, 16));
            c = c.lanewise(LSHL, 16).lanewise(ASHR, 16).add(c.lanewise(ASHR, 16));
            d = d.lanewise(LSHL, 16).lanewise(ASHR, 16).add(d.lanewise(ASHR, 16));
            IntVector e = a.add(b);
            IntVector f = c.add(d);
            e.blend(f, BIT_2).add(f.blend(e, BIT_2).rearrange(BY_2)).intoArray(halfFolded, i * STEP);
        }
    }

    /** As late, with 128 bits: four blocks at a time. */
    private static void lateInFours(short[] products, int[] halfFolded) {
        for (int i = 0; i < halfFolded.length / STEP; i++) {
            int at = ((i >> 1) * STEP + (i & 1)) * PRODUCTS;
            int next = at + 2 * PRODUCTS;
            IntVector e = ShortVector.fromArray(LEVELS, products, at)
                    .add(ShortVector.fromArray(LEVELS, products, at + LEVEL_WIDTH))
                    .reinterpretAsInts();
            IntVector f = ShortVector.fromArray(LEVELS, products, next)
                    .add(ShortVector.fromArray(LEVELS, products, next + LEVEL_WIDTH))
                    .reinterpretAsInts();
            e.blend(f, BIT_2)
                    .reinterpretAsShorts()
                    .add(f.blend(e, BIT_2).rearrange(BY_2).reinterpretAsShorts())
                    .reinterpretAsInts()
                    .intoArray(halfFolded, i * STEP);
        }
    }

    private static void finishEarly(int[] halfFolded, int[] sums) {
        for (int part = 0; part < sums.length; part += STEP) {
            IntVector even = IntVector.fromArray(SUMS, halfFolded, 2 * part);
            IntVector odd = IntVector.fromArray(SUMS, halfFolded, 2 * part + STEP);
            even.blend(odd, BIT_1).add(odd.blend(even, BIT_1).rearrange(BY_1)).intoArray(sums, part);
        }
    }

    private static void finishLate(int[] halfFolded, int[] sums) {
        for (int part = 0; part < sums.length; part += STEP) {
            IntVector even = IntVector.fromArray(SUMS, halfFolded, 2 * part);
            IntVector odd = IntVector.fromArray(SUMS, halfFolded, 2 * part + STEP);
            IntVector both = even.blend(odd, BIT_1)
                    .reinterpretAsShorts()
                    .add(odd.blend(even, BIT_1).rearrange(BY_1).reinterpretAsShorts())
                    .reinterpretAsInts();
            both.lanewise(LSHL, 16)
                    .lanewise(ASHR, 16)
                    .add(both.lanewise(ASHR, 16))
                    .intoArray(sums, part);
        }
    }

    private static void addHalves(int[] halfSums, int[] scalePairs, int[] sums) {
        for (int part = 0; part < sums.length; part += STEP) {
            int at = part / HALVES * 2 * HALVES + part % HALVES;
            IntVector scales = IntVector.fromArray(SUMS, scalePairs, part);
            IntVector low = scales.lanewise(LSHL, 24).lanewise(ASHR, 24);
            IntVector high = scales.lanewise(ASHR, 8);
            IntVector.fromArray(SUMS, halfSums, at)
                    .mul(low)
                    .add(IntVector.fromArray(SUMS, halfSums, at + HALVES).mul(high))
                    .intoArray(sums, part);
        }
    }
}

package shoal.bridge.kernel.vector;

import static shoal.bridge.kernel.vector.Lanes.FLOATS;
import static shoal.bridge.kernel.vector.Lanes.INTS;
import static shoal.bridge.kernel.vector.Lanes.WIDTH;

import java.util.Arrays;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.ShortVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorShuffle;
import jdk.incubator.vector.VectorSpecies;
import shoal.bridge.kernel.host.HostBuffer;

/**
 * Levels in 16 bits, those of two neighbouring columns in one lane of 32: twice as many products per operation as in F32. For levels of
 * few bits, of which 8 or 16 products fit in 16 bits. No method of ours is called between vectors here: see {@link RowLoop}.
 */
final class PairPanel extends Panel {
    private static final VectorSpecies<Short> PAIRS = FLOATS.withLanes(short.class);
    private static final VectorShuffle<Integer> BY_8 = swap(8);
    private static final VectorShuffle<Integer> BY_4 = swap(4);
    private static final VectorShuffle<Integer> BY_2 = swap(2);
    private static final VectorShuffle<Integer> BY_1 = swap(1);
    private static final VectorMask<Integer> BIT_8 = VectorMask.fromLong(INTS, 0xff00);
    private static final VectorMask<Integer> BIT_4 = VectorMask.fromLong(INTS, 0xf0f0);
    private static final VectorMask<Integer> BIT_2 = VectorMask.fromLong(INTS, 0xcccc);
    private static final VectorMask<Integer> BIT_1 = VectorMask.fromLong(INTS, 0xaaaa);

    /** Of levels up to here, 16 products fit: a block's. Of levels up to twice that, 8: half a block's. */
    private static final int WHOLE = 16;

    private final boolean whole;
    private final int[] square = new int[WIDTH * WIDTH];

    /** (pair of columns, row, column of the pair). */
    private final short[] levels;

    /** (half of the block, token, row, column's parity): the second half only if sums of the whole do not fit. */
    private final short[] products = new short[4 * TILE];

    PairPanel(Unpacker unpacker, int width) {
        super(unpacker, width);
        whole = unpacker.largestLevel() <= WHOLE;
        levels = new short[ROWS * width];
        if (!unpacker.scalesHalves()) {
            Arrays.fill(rows.halfScales, 1);
        }
    }

    static boolean fits(Unpacker unpacker) {
        return unpacker.largestLevel() <= 2 * WHOLE;
    }

    private static VectorShuffle<Integer> swap(int distance) {
        return VectorShuffle.fromOp(INTS, lane -> (lane ^ distance) % WIDTH);
    }

    @Override
    int turned() {
        return 2 * WIDTH;
    }

    @Override
    void turn(int row, int column) {
        for (int i = 0; i < WIDTH; i++) {
            ShortVector.fromArray(PAIRS, rows.levels, (row + i) * rows.stride + column)
                    .reinterpretAsInts()
                    .intoArray(square, i * WIDTH);
        }
        if (WIDTH > 8) {
            exchange(square, 8, BY_8, BIT_8);
        }
        if (WIDTH > 4) {
            exchange(square, 4, BY_4, BIT_4);
        }
        exchange(square, 2, BY_2, BIT_2);
        exchange(square, 1, BY_1, BIT_1);
        for (int i = 0; i < WIDTH; i++) {
            IntVector.fromArray(INTS, square, i * WIDTH)
                    .reinterpretAsShorts()
                    .intoArray(levels, (column + 2 * i) * ROWS + 2 * row);
        }
    }

    /** As {@link FloatPanel}'s. */
    private static void exchange(int[] square, int distance, VectorShuffle<Integer> swap, VectorMask<Integer> bit) {
        for (int k = 0; k < WIDTH / 2; k++) {
            int i = (k / distance * 2 * distance + k % distance) * WIDTH;
            int j = i + distance * WIDTH;
            IntVector a = IntVector.fromArray(INTS, square, i);
            IntVector b = IntVector.fromArray(INTS, square, j);
            a.blend(b.rearrange(swap), bit).intoArray(square, i);
            a.rearrange(swap).blend(b, bit).intoArray(square, j);
        }
    }

    @Override
    void block(HostBuffer x, int part, int[] starts) {
        int pairs = whole ? BLOCK / 2 : BLOCK / 4;
        for (int half = 0; half < (whole ? 1 : 2); half++) {
            int skip = half * pairs;
            block(
                    levels,
                    (part * BLOCK / 2 + skip) * 2 * ROWS,
                    x.pairs(),
                    starts[0] / 2 + skip,
                    starts[1] / 2 + skip,
                    starts[2] / 2 + skip,
                    starts[3] / 2 + skip,
                    starts[4] / 2 + skip,
                    starts[5] / 2 + skip,
                    pairs,
                    products,
                    2 * TILE * half);
        }
    }

    /** Some pairs of columns of the panel times those of six tokens. */
    private static void block(
            short[] w, int at, int[] x, int a, int b, int c, int d, int e, int f, int pairs, short[] products, int to) {
        ShortVector a0 = ShortVector.zero(PAIRS);
        ShortVector a1 = a0;
        ShortVector b0 = a0;
        ShortVector b1 = a0;
        ShortVector c0 = a0;
        ShortVector c1 = a0;
        ShortVector d0 = a0;
        ShortVector d1 = a0;
        ShortVector e0 = a0;
        ShortVector e1 = a0;
        ShortVector f0 = a0;
        ShortVector f1 = a0;
        for (int i = 0; i < pairs; i++) {
            ShortVector w0 = ShortVector.fromArray(PAIRS, w, at + i * 2 * ROWS);
            ShortVector w1 = ShortVector.fromArray(PAIRS, w, at + i * 2 * ROWS + ROWS);
            ShortVector v = IntVector.broadcast(INTS, x[a + i]).reinterpretAsShorts();
            a0 = w0.mul(v).add(a0);
            a1 = w1.mul(v).add(a1);
            v = IntVector.broadcast(INTS, x[b + i]).reinterpretAsShorts();
            b0 = w0.mul(v).add(b0);
            b1 = w1.mul(v).add(b1);
            v = IntVector.broadcast(INTS, x[c + i]).reinterpretAsShorts();
            c0 = w0.mul(v).add(c0);
            c1 = w1.mul(v).add(c1);
            v = IntVector.broadcast(INTS, x[d + i]).reinterpretAsShorts();
            d0 = w0.mul(v).add(d0);
            d1 = w1.mul(v).add(d1);
            v = IntVector.broadcast(INTS, x[e + i]).reinterpretAsShorts();
            e0 = w0.mul(v).add(e0);
            e1 = w1.mul(v).add(e1);
            v = IntVector.broadcast(INTS, x[f + i]).reinterpretAsShorts();
            f0 = w0.mul(v).add(f0);
            f1 = w1.mul(v).add(f1);
        }
        a0.intoArray(products, to);
        a1.intoArray(products, to + ROWS);
        b0.intoArray(products, to + 2 * ROWS);
        b1.intoArray(products, to + 2 * ROWS + ROWS);
        c0.intoArray(products, to + 4 * ROWS);
        c1.intoArray(products, to + 4 * ROWS + ROWS);
        d0.intoArray(products, to + 6 * ROWS);
        d1.intoArray(products, to + 6 * ROWS + ROWS);
        e0.intoArray(products, to + 8 * ROWS);
        e1.intoArray(products, to + 8 * ROWS + ROWS);
        f0.intoArray(products, to + 10 * ROWS);
        f1.intoArray(products, to + 10 * ROWS + ROWS);
    }

    @Override
    void add(int part, float[] tokenScales, float[] lanes, int lane) {
        for (int vector = 0; vector < ROWS; vector += WIDTH) {
            if (whole) {
                addWhole(products, vector, scales, part * ROWS + vector, tokenScales, lanes, lane + vector);
            } else {
                addHalves(
                        products,
                        vector,
                        halfScales,
                        2 * part * ROWS + vector,
                        scales,
                        part * ROWS + vector,
                        tokenScales,
                        lanes,
                        lane + vector);
            }
        }
    }

    private static void addWhole(
            short[] products, int row, float[] scales, int scale, float[] others, float[] lanes, int lane) {
        FloatVector rowScale = FloatVector.fromArray(FLOATS, scales, scale);
        for (int t = 0; t < TOKENS; t++) {
            IntVector both =
                    ShortVector.fromArray(PAIRS, products, 2 * (t * ROWS + row)).reinterpretAsInts();
            IntVector sum = both.lanewise(VectorOperators.LSHL, 16)
                    .lanewise(VectorOperators.ASHR, 16)
                    .add(both.lanewise(VectorOperators.ASHR, 16));
            ((FloatVector) sum.convert(VectorOperators.I2F, 0))
                    .fma(rowScale.mul(others[t]), FloatVector.fromArray(FLOATS, lanes, lane + t * ROWS))
                    .intoArray(lanes, lane + t * ROWS);
        }
    }

    /** Whole numbers below 2^24 until the last step, so exact. */
    private static void addHalves(
            short[] products,
            int row,
            float[] halfScales,
            int half,
            float[] scales,
            int scale,
            float[] others,
            float[] lanes,
            int lane) {
        FloatVector rowScale = FloatVector.fromArray(FLOATS, scales, scale);
        FloatVector lowScale = FloatVector.fromArray(FLOATS, halfScales, half);
        FloatVector highScale = FloatVector.fromArray(FLOATS, halfScales, half + ROWS);
        for (int t = 0; t < TOKENS; t++) {
            int at = 2 * (t * ROWS + row);
            IntVector low = ShortVector.fromArray(PAIRS, products, at).reinterpretAsInts();
            IntVector high =
                    ShortVector.fromArray(PAIRS, products, at + 2 * TILE).reinterpretAsInts();
            IntVector lowSum = low.lanewise(VectorOperators.LSHL, 16)
                    .lanewise(VectorOperators.ASHR, 16)
                    .add(low.lanewise(VectorOperators.ASHR, 16));
            IntVector highSum = high.lanewise(VectorOperators.LSHL, 16)
                    .lanewise(VectorOperators.ASHR, 16)
                    .add(high.lanewise(VectorOperators.ASHR, 16));
            ((FloatVector) lowSum.convert(VectorOperators.I2F, 0))
                    .mul(lowScale)
                    .add(((FloatVector) highSum.convert(VectorOperators.I2F, 0)).mul(highScale))
                    .fma(rowScale.mul(others[t]), FloatVector.fromArray(FLOATS, lanes, lane + t * ROWS))
                    .intoArray(lanes, lane + t * ROWS);
        }
    }
}

package shoal.bridge.kernel.vector;

import static shoal.bridge.kernel.vector.Lanes.FLOATS;
import static shoal.bridge.kernel.vector.Lanes.WIDTH;

import jdk.incubator.vector.FloatVector;
import shoal.bridge.kernel.SumOrder;
import shoal.bridge.kernel.host.HostBuffer;
import shoal.bridge.kernel.host.HostWeights;

/** Some columns of {@link #ROWS} rows, unpacked, and what multiplies them. One call's scratch. */
abstract class Panel {
    static final int BLOCK = HostBuffer.BLOCK;

    /** Two vectors of rows times six tokens: twelve sums in registers, eight loads for twelve multiplications. */
    static final int ROWS = 2 * WIDTH;

    static final int TOKENS = 6;

    /** Sums of one lane of {@link SumOrder}, token after token. */
    static final int TILE = TOKENS * ROWS;

    private static final int LANES = SumOrder.LANES;

    final Unpacker unpacker;
    final UnpackedRows rows;

    /** (block of 32 columns, row), as the constants; factors are (half of such a block, row), and so are halfScales. */
    final float[] scales;

    private final float[] constants;
    private final float[] factors;
    final float[] halfScales;
    private final float[] tokenScales = new float[TOKENS];
    private final int[] starts = new int[TOKENS];

    Panel(Unpacker unpacker, int width) {
        this.unpacker = unpacker;
        rows = new UnpackedRows(ROWS, width);
        scales = new float[ROWS * width / BLOCK];
        constants = new float[scales.length];
        factors = new float[2 * scales.length];
        halfScales = new float[2 * scales.length];
    }

    /** Turns levels of rows from row on and columns from column on over, a square of vectors. */
    abstract void turn(int row, int column);

    /** How many columns are turned at once. */
    abstract int turned();

    /** The products of a block of 32 columns, part of this panel, with six tokens whose levels start at given columns. */
    abstract void block(HostBuffer x, int part, int[] starts);

    /** lanes += the block's products * (scale of the row * scale of the token), for a tile. */
    abstract void add(int part, float[] tokenScales, float[] lanes, int lane);

    /** Rows beyond count are left from before: their sums are never looked at. */
    final void unpack(HostWeights w, int firstRow, int count, int column, int columns) {
        long start = w.type().sizeBytes(column);
        int partStride = rows.stride / BLOCK;
        for (int r = 0; r < count; r++) {
            long offset = (firstRow + r) * w.rowBytes() + start;
            unpacker.unpackScales(w.bytes(), offset, columns, rows, r * partStride);
            unpacker.unpackLevels(w.bytes(), offset, columns, rows, r * rows.stride);
        }
        for (int r = 0; r < ROWS; r += WIDTH) {
            for (int c = 0; c < columns; c += turned()) {
                turn(r, c);
            }
        }
        for (int part = 0; part < columns / BLOCK; part++) {
            for (int r = 0; r < ROWS; r++) {
                int from = r * partStride + part;
                int to = part * ROWS + r;
                scales[to] = rows.scales[from];
                constants[to] = rows.constants[from];
                factors[to + part * ROWS] = rows.factors[2 * from];
                factors[to + (part + 1) * ROWS] = rows.factors[2 * from + 1];
                halfScales[to + part * ROWS] = rows.halfScales[2 * from];
                halfScales[to + (part + 1) * ROWS] = rows.halfScales[2 * from + 1];
            }
        }
    }

    /** Adds the panel's blocks, times six tokens from token on, to their lanes. */
    final void multiply(
            HostBuffer x, int token, int tokens, int columns, int column, int count, float[] lanes, int at) {
        int last = tokens - 1;
        int parts = columns / BLOCK;
        boolean withConstants = unpacker.constants() != Unpacker.Constants.NONE;
        for (int part = 0; part < count / BLOCK; part++) {
            int all = column / BLOCK + part;
            int lane = at + all % LANES * TILE;
            for (int i = 0; i < TOKENS; i++) {
                int t = Math.min(token + i, last);
                tokenScales[i] = x.scales()[t * parts + all];
                starts[i] = t * columns + all * BLOCK;
            }
            block(x, part, starts);
            add(part, tokenScales, lanes, lane);
            if (withConstants) {
                for (int i = 0; i < TOKENS; i++) {
                    int t = Math.min(token + i, last);
                    constant(part, x, t * parts + all, tokenScales[i], lanes, lane + i * ROWS);
                }
            }
        }
    }

    private static void add(FloatVector sum, FloatVector constant, float[] lanes, int lane) {
        sum.fma(constant, FloatVector.fromArray(FLOATS, lanes, lane)).intoArray(lanes, lane);
    }

    /** One token's sum of levels times the rows' constants. */
    private void constant(int part, HostBuffer x, int otherPart, float scale, float[] lanes, int lane) {
        if (unpacker.constants() == Unpacker.Constants.PER_PART) {
            FloatVector sum = FloatVector.broadcast(FLOATS, x.levelSums()[otherPart] * scale);
            for (int i = 0; i < ROWS; i += WIDTH) {
                add(sum, FloatVector.fromArray(FLOATS, constants, part * ROWS + i), lanes, lane + i);
            }
        } else {
            int at = otherPart * BLOCK;
            float low = sum(x.levels8(), at);
            float high = sum(x.levels8(), at + LANES);
            for (int i = 0; i < ROWS; i += WIDTH) {
                FloatVector constant = FloatVector.fromArray(FLOATS, constants, part * ROWS + i);
                FloatVector sum = FloatVector.fromArray(FLOATS, factors, 2 * part * ROWS + i)
                        .mul(low)
                        .add(FloatVector.fromArray(FLOATS, factors, (2 * part + 1) * ROWS + i)
                                .mul(high));
                add(sum.mul(scale), constant, lanes, lane + i);
            }
        }
    }

    private static int sum(byte[] levels, int at) {
        int sum = 0;
        for (int i = 0; i < LANES; i++) {
            sum += levels[at + i];
        }
        return sum;
    }
}

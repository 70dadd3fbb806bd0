package shoal.bridge.kernel.host;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import shoal.bridge.kernel.Exponential;

/**
 * Activations: rows of width F32 values, and on demand the same rows quantised to 8 bits as {@link shoal.bridge.kernel.Kernels}
 * says. Grows, never shrinks.
 */
public final class HostBuffer {
    /** Values that share a scale. */
    public static final int BLOCK = 32;

    /** From so many rows on, levels are there in F32 and as pairs too. */
    public static final int MANY = 4;

    static final float TINY = 1e-30f;

    private final int width;
    private float[] values = new float[0];
    private byte[] levels8 = new byte[0];
    private short[] levels16 = new short[0];
    private float[] levels = new float[0];
    private int[] pairs = new int[0];
    private float[] scales = new float[0];
    private int[] levelSums = new int[0];
    private int quantisedRows;
    private MemorySegment room = MemorySegment.NULL;
    private int packedRows;

    public HostBuffer(int width) {
        this.width = width;
    }

    /** Rows of that width with given values. */
    public static HostBuffer of(int width, float[] values) {
        HostBuffer buffer = new HostBuffer(width);
        buffer.values = values;
        return buffer;
    }

    public int width() {
        return width;
    }

    /** Makes room for so many rows; what they held is lost, and so is the quantised form. */
    float[] overwrite(int rows) {
        quantisedRows = 0;
        packedRows = 0;
        int size = Math.multiplyExact(rows, width);
        if (values.length < size) {
            values = new float[size];
        }
        return values;
    }

    /** The rows, to be changed in place. */
    float[] change() {
        quantisedRows = 0;
        packedRows = 0;
        return values;
    }

    /** Row-major (rows, width). */
    public float[] values() {
        return values;
    }

    /** -127..127, laid out as {@link #values}. Valid after {@link #quantise}. */
    public byte[] levels8() {
        return levels8;
    }

    /** The same in 16 bits, for kernels that multiply there. */
    public short[] levels16() {
        return levels16;
    }

    /** The same as F32; only if there are {@link #MANY} rows or more. */
    public float[] levels() {
        return levels;
    }

    /** Those of columns 2i and 2i + 1 in the lower and the upper 16 bits; only if there are {@link #MANY} rows or more. */
    public int[] pairs() {
        return pairs;
    }

    /** One per 32 values, row after row. Valid after {@link #quantise}. */
    public float[] scales() {
        return scales;
    }

    /** The sum of the levels of each 32 values, row after row. Valid after {@link #quantise}. */
    public int[] levelSums() {
        return levelSums;
    }

    /**
     * So many bytes outside the heap, aligned to 64, where operations keep these rows in a layout of their own ({@link #packed}). The
     * buffer owns them; what they held is lost when more are asked for than before.
     */
    public MemorySegment room(long bytes) {
        if (room.byteSize() < bytes) {
            room = Arena.ofAuto().allocate(bytes, 64);
            packedRows = 0;
        }
        return room;
    }

    /** Says that the room holds that many rows, packed. */
    public void packed(int rows) {
        packedRows = rows;
    }

    /** How many rows the room holds packed: 0 once the values have changed. */
    public int packedRows() {
        return packedRows;
    }

    /** Fills levels, scales and sums of the first rows, unless they are there already. Width is a multiple of 32. */
    void quantise(int rows, ComputePool pool, int pieces) {
        if (rows <= quantisedRows) {
            return;
        }
        int size = Math.multiplyExact(rows, width);
        if (levels8.length < size) {
            levels8 = new byte[size];
            levels16 = new short[size];
            scales = new float[size / BLOCK];
            levelSums = new int[size / BLOCK];
        }
        if (rows >= MANY && levels.length < size) {
            levels = new float[size];
            pairs = new int[size / 2];
        }
        boolean many = rows >= MANY;
        pool.ranges(size / BLOCK, pieces, (from, to) -> quantiseBlocks(from, to, many));
        quantisedRows = rows;
    }

    private void quantiseBlocks(int first, int end, boolean many) {
        for (int block = first; block < end; block++) {
            int start = block * BLOCK;
            scales[block] = quantiseBlock(start);
            int sum = 0;
            for (int i = start; i < start + BLOCK; i++) {
                sum += levels8[i];
                levels16[i] = levels8[i];
            }
            levelSums[block] = sum;
            if (many) {
                for (int i = start; i < start + BLOCK; i++) {
                    levels[i] = levels8[i];
                }
                for (int i = start / 2; i < (start + BLOCK) / 2; i++) {
                    pairs[i] = levels8[2 * i] & 0xffff | levels8[2 * i + 1] << 16;
                }
            }
        }
    }

    private float quantiseBlock(int offset) {
        float max = 0;
        for (int i = 0; i < BLOCK; i++) {
            max = Math.max(max, Math.abs(values[offset + i]));
        }
        if (max < TINY) {
            java.util.Arrays.fill(levels8, offset, offset + BLOCK, (byte) 0);
            return 0;
        }
        float inverse = 127f / max;
        for (int i = 0; i < BLOCK; i++) {
            levels8[offset + i] = (byte) ((values[offset + i] * inverse + Exponential.ROUND) - Exponential.ROUND);
        }
        return max / 127f;
    }
}

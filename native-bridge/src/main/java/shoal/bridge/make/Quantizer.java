package shoal.bridge.make;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.EnumSet;
import java.util.Set;
import shoal.codec.gguf.GgmlType;

/**
 * Floats to the blocks of a type, bit for bit as llama.cpp v0.5.0 does it without an importance matrix (ggml-quants.c, the functions
 * quantize_row_*_ref): every sum in its order, in floats. One object per thread: it keeps scratch.
 */
final class Quantizer {
    private static final ValueLayout.OfShort SHORT =
            ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfFloat FLOAT =
            ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfByte BYTE = ValueLayout.JAVA_BYTE;

    private static final Set<GgmlType> TYPES = EnumSet.of(
            GgmlType.F32,
            GgmlType.F16,
            GgmlType.BF16,
            GgmlType.Q8_0,
            GgmlType.Q4_0,
            GgmlType.Q4_1,
            GgmlType.Q5_0,
            GgmlType.Q5_1,
            GgmlType.IQ4_NL,
            GgmlType.Q4_K,
            GgmlType.Q5_K,
            GgmlType.Q6_K);

    /** Values below are a block of zeros (ggml-quants.c, GROUP_MAX_EPS). */
    private static final float NOTHING = 1e-15f;

    /** The sixteen values of IQ4_NL (ggml-common.h, kvalues_iq4nl). */
    private static final int[] UNEVEN = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

    private static final int BLOCK = 32;
    private static final int SUPER = 256;

    private final int[] levels = new int[SUPER];
    private final int[] tried = new int[BLOCK];
    private final float[] weights = new float[BLOCK];
    private final float[] scales = new float[16];
    private final float[] minima = new float[8];

    /** Whether this type can be made. */
    static boolean knows(GgmlType type) {
        return TYPES.contains(type);
    }

    /** Whole blocks, from x[from] on, to the bytes from an offset on. */
    void quantise(GgmlType type, float[] x, int from, int count, MemorySegment out, long offset) {
        long at = offset;
        for (int i = from; i < from + count; i += type.blockValues(), at += type.blockBytes()) {
            switch (type) {
                case F32 -> out.set(FLOAT, at, x[i]);
                case F16 -> out.set(SHORT, at, Float.floatToFloat16(x[i]));
                case BF16 -> out.set(SHORT, at, toBrainFloat(x[i]));
                case Q8_0 -> bytes(x, i, out, at);
                case Q4_0 -> signed(x, i, 8, out, at);
                case Q5_0 -> signed(x, i, 16, out, at);
                case Q4_1 -> ranged(x, i, 15, out, at);
                case Q5_1 -> ranged(x, i, 31, out, at);
                case IQ4_NL -> uneven(x, i, out, at);
                case Q4_K -> ranges(x, i, 15, -1f, 20, out, at);
                case Q5_K -> ranges(x, i, 31, -0.5f, 15, out, at);
                case Q6_K -> sixBits(x, i, out, at);
                default -> throw new IllegalArgumentException("quantising to " + type + " is not supported");
            }
        }
    }

    /** To the nearest, ties to even. */
    private static short toBrainFloat(float value) {
        int bits = Float.floatToRawIntBits(value);
        return (short) (bits + 0x7fff + (bits >>> 16 & 1) >>> 16);
    }

    private static void bytes(float[] x, int from, MemorySegment out, long at) {
        float largest = 0;
        for (int i = 0; i < BLOCK; i++) {
            largest = Math.max(largest, Math.abs(x[from + i]));
        }
        float scale = largest / 127;
        float inverse = scale == 0 ? 0 : 1f / scale;
        half(out, at, scale);
        for (int i = 0; i < BLOCK; i++) {
            float value = x[from + i] * inverse;
            out.set(BYTE, at + 2 + i, (byte) ((double) value + Math.copySign(0.5, value))); // half away from zero
        }
    }

    /** Levels -limit .. limit - 1; the largest value by size is the level -limit. */
    private void signed(float[] x, int from, int limit, MemorySegment out, long at) {
        float extreme = x[from + extreme(x, from, BLOCK)];
        float scale = extreme / -limit;
        float inverse = scale == 0 ? 0 : 1f / scale;
        half(out, at, scale);
        for (int i = 0; i < BLOCK; i++) {
            levels[i] = Math.min(2 * limit - 1, (int) (x[from + i] * inverse + (limit + 0.5f)));
        }
        halves(limit == 16, out, at + 2);
    }

    /** Levels 0 .. last between the least and the largest value. */
    private void ranged(float[] x, int from, int last, MemorySegment out, long at) {
        float least = Float.MAX_VALUE;
        float largest = -Float.MAX_VALUE;
        for (int i = 0; i < BLOCK; i++) {
            least = Math.min(least, x[from + i]);
            largest = Math.max(largest, x[from + i]);
        }
        float scale = (largest - least) / last;
        float inverse = scale == 0 ? 0 : 1f / scale;
        half(out, at, scale);
        half(out, at + 2, least);
        for (int i = 0; i < BLOCK; i++) {
            levels[i] = Math.min(last, (int) ((x[from + i] - least) * inverse + 0.5f));
        }
        halves(last == 31, out, at + 4);
    }

    /** Levels i and i + 16 share a byte; fifth bits stand before them in a word of their own. */
    private void halves(boolean fiveBits, MemorySegment out, long at) {
        if (fiveBits) {
            int high = 0;
            for (int i = 0; i < BLOCK; i++) {
                high |= (levels[i] >> 4) << i;
            }
            out.set(INT, at, high);
        }
        long low = fiveBits ? at + 4 : at;
        for (int i = 0; i < BLOCK / 2; i++) {
            out.set(BYTE, low + i, (byte) (levels[i] & 15 | (levels[i + BLOCK / 2] & 15) << 4));
        }
    }

    private void uneven(float[] x, int from, MemorySegment out, long at) {
        float extreme = x[from + extreme(x, from, BLOCK)];
        float scale = 0;
        if (Math.abs(extreme) < NOTHING) {
            java.util.Arrays.fill(levels, 0, BLOCK, 0);
        } else {
            float best = 0;
            for (int step = 0;
                    step <= 15;
                    step++) { // first as it comes, then with the outermost value -7..7 further in
                float inverse = step == 0 ? 1 / (-extreme / UNEVEN[0]) : (step - 8 + UNEVEN[0]) / extreme;
                float products = 0;
                float squares = 0;
                for (int i = 0; i < BLOCK; i++) {
                    float value = x[from + i];
                    float level = UNEVEN[nearest(inverse * value)];
                    float weight = value * value;
                    products += weight * level * value;
                    squares += weight * level * level;
                }
                if (step == 0 || squares > 0 && products * products > best * squares) {
                    scale = squares > 0 ? products / squares : 0;
                    best = scale * products;
                }
            }
            float inverse = scale == 0 ? 0 : 1 / scale;
            for (int i = 0; i < BLOCK; i++) {
                levels[i] = nearest(inverse * x[from + i]);
            }
        }
        half(out, at, scale);
        halves(false, out, at + 2);
    }

    /** The index of the value of IQ4_NL that is nearest; the upper of two equally near. */
    private static int nearest(float value) {
        if (value <= UNEVEN[0]) {
            return 0;
        }
        if (value >= UNEVEN[15]) {
            return 15;
        }
        int upper = 1;
        while (value >= UNEVEN[upper]) {
            upper++;
        }
        return value - UNEVEN[upper - 1] < UNEVEN[upper] - value ? upper - 1 : upper;
    }

    /** Blocks of 256: for each 32 values a scale and a least value, of 6 bits each. */
    private void ranges(float[] x, int from, int last, float firstStep, int steps, MemorySegment out, long at) {
        float largestScale = 0;
        float largestMinimum = 0;
        for (int part = 0; part < 8; part++) {
            fitRange(x, from + BLOCK * part, last, firstStep, steps, part);
            largestScale = Math.max(largestScale, scales[part]);
            largestMinimum = Math.max(largestMinimum, minima[part]);
        }
        float perScale = largestScale > 0 ? 63f / largestScale : 0;
        float perMinimum = largestMinimum > 0 ? 63f / largestMinimum : 0;
        short scaleBits = Float.floatToFloat16(largestScale / 63f);
        short minimumBits = Float.floatToFloat16(largestMinimum / 63f);
        out.set(SHORT, at, scaleBits);
        out.set(SHORT, at + 2, minimumBits);
        byte[] packed = new byte[12];
        for (int part = 0; part < 8; part++) {
            int scale = Math.min(63, round(perScale * scales[part]) & 255);
            int minimum = Math.min(63, round(perMinimum * minima[part]) & 255);
            pack(packed, part, scale, minimum);
            float step = Float.float16ToFloat(scaleBits) * scale;
            float least = Float.float16ToFloat(minimumBits) * minimum;
            for (int i = 0; i < BLOCK && step != 0; i++) {
                int level = round((x[from + BLOCK * part + i] + least) / step);
                levels[BLOCK * part + i] = Math.clamp(level, 0, last);
            }
        }
        MemorySegment.copy(packed, 0, out, BYTE, at + 4, packed.length);
        long low = at + 16;
        if (last == 31) {
            for (int i = 0; i < BLOCK; i++) {
                int high = 0;
                for (int part = 0; part < 8; part++) {
                    high |= (levels[BLOCK * part + i] >> 4) << part;
                }
                out.set(BYTE, low + i, (byte) high);
            }
            low += BLOCK;
        }
        for (int pair = 0; pair < 4; pair++) {
            for (int i = 0; i < BLOCK; i++) {
                int a = levels[2 * BLOCK * pair + i] & 15;
                int b = levels[2 * BLOCK * pair + BLOCK + i] & 15;
                out.set(BYTE, low + BLOCK * pair + i, (byte) (a | b << 4));
            }
        }
    }

    /** Eight pairs of six bits in twelve bytes (ggml-quants.c, get_scale_min_k4, the other way round). */
    private static void pack(byte[] packed, int part, int scale, int minimum) {
        if (part < 4) {
            packed[part] |= (byte) scale;
            packed[part + 4] |= (byte) minimum;
        } else {
            packed[part + 4] = (byte) (scale & 15 | (minimum & 15) << 4);
            packed[part - 4] |= (byte) (scale >> 4 << 6);
            packed[part] |= (byte) (minimum >> 4 << 6);
        }
    }

    /**
     * The scale and the least value that fit 32 values best among several steps, by weighted squares; large values weigh more. Fills
     * levels, scales and minima (how far below 0 the least value lies) of that part.
     */
    private void fitRange(float[] x, int from, int last, float firstStep, int steps, int part) {
        float squares = 0;
        for (int i = 0; i < BLOCK; i++) {
            squares += x[from + i] * x[from + i];
        }
        float usual = (float) Math.sqrt(squares / BLOCK);
        float least = x[from];
        float largest = x[from];
        float sumWeights = 0;
        float sumValues = 0;
        for (int i = 0; i < BLOCK; i++) {
            float value = x[from + i];
            weights[i] = usual + Math.abs(value);
            least = Math.min(least, value);
            largest = Math.max(largest, value);
            sumWeights = i == 0 ? weights[i] : sumWeights + weights[i];
            sumValues = i == 0 ? weights[i] * value : sumValues + weights[i] * value;
        }
        least = least > 0 ? 0 : least;
        int to = BLOCK * part;
        if (largest == least) {
            java.util.Arrays.fill(levels, to, to + BLOCK, 0);
            minima[part] = -least;
            scales[part] = 0;
            return;
        }
        float bestScale = 1 / (last / (largest - least));
        float bestLeast = least;
        levelsOf(x, from, last, last / (largest - least), least);
        System.arraycopy(tried, 0, levels, to, BLOCK);
        float bestError = error(x, from, bestScale, bestLeast);
        for (int step = 0; step <= steps; step++) {
            levelsOf(x, from, last, (firstStep + 0.1f * step + last) / (largest - bestLeast), bestLeast);
            float sumLevels = 0;
            float sumSquares = 0;
            float sumProducts = 0;
            for (int i = 0; i < BLOCK; i++) {
                float weighted = weights[i] * tried[i];
                sumLevels += weighted;
                sumSquares += weighted * tried[i];
                sumProducts += weighted * x[from + i];
            }
            float determinant = sumWeights * sumSquares - sumLevels * sumLevels;
            if (determinant > 0) {
                float scale = (sumWeights * sumProducts - sumValues * sumLevels) / determinant;
                float low = (sumSquares * sumValues - sumLevels * sumProducts) / determinant;
                if (low > 0) {
                    low = 0;
                    scale = sumProducts / sumSquares;
                }
                float error = error(x, from, scale, low);
                if (error < bestError) {
                    System.arraycopy(tried, 0, levels, to, BLOCK);
                    bestError = error;
                    bestScale = scale;
                    bestLeast = low;
                }
            }
        }
        scales[part] = bestScale;
        minima[part] = -bestLeast;
    }

    private void levelsOf(float[] x, int from, int last, float inverse, float least) {
        for (int i = 0; i < BLOCK; i++) {
            tried[i] = Math.clamp(round(inverse * (x[from + i] - least)), 0, last);
        }
    }

    private float error(float[] x, int from, float scale, float least) {
        float error = 0;
        for (int i = 0; i < BLOCK; i++) {
            float difference = scale * tried[i] + least - x[from + i];
            error += weights[i] * (difference * difference);
        }
        return error;
    }

    /** Blocks of 256: for each 16 values a scale of 8 bits; levels of 6 bits around 0. */
    private void sixBits(float[] x, int from, MemorySegment out, long at) {
        float extreme = 0;
        for (int part = 0; part < 16; part++) {
            scales[part] = fitSigned(x, from + 16 * part, 16 * part);
            if (Math.abs(scales[part]) > Math.abs(extreme)) {
                extreme = scales[part];
            }
        }
        if (Math.abs(extreme) < NOTHING) {
            out.asSlice(at, GgmlType.Q6_K.blockBytes()).fill((byte) 0);
            return;
        }
        float perScale = -128f / extreme;
        short scaleBits = Float.floatToFloat16(1 / perScale);
        out.set(SHORT, at + 208, scaleBits);
        for (int part = 0; part < 16; part++) {
            byte scale = (byte) Math.min(127, round(perScale * scales[part]));
            out.set(BYTE, at + 192 + part, scale);
            float step = Float.float16ToFloat(scaleBits) * scale;
            for (int i = 16 * part; i < 16 * part + 16 && step != 0; i++) {
                levels[i] = Math.clamp(round(x[from + i] / step), -32, 31) + 32;
            }
        }
        for (int half = 0; half < 2; half++) {
            for (int i = 0; i < BLOCK; i++) {
                int a = levels[128 * half + i];
                int b = levels[128 * half + 32 + i];
                int c = levels[128 * half + 64 + i];
                int d = levels[128 * half + 96 + i];
                out.set(BYTE, at + 64 * half + i, (byte) (a & 15 | (c & 15) << 4));
                out.set(BYTE, at + 64 * half + 32 + i, (byte) (b & 15 | (d & 15) << 4));
                out.set(BYTE, at + 128 + 32 * half + i, (byte) (a >> 4 | b >> 4 << 2 | c >> 4 << 4 | d >> 4 << 6));
            }
        }
    }

    /** The scale that fits 16 values best among several, by squares weighted by the values' own; fills their levels. */
    private float fitSigned(float[] x, int from, int to) {
        float extreme = x[from + extreme(x, from, 16)];
        if (Math.abs(extreme) < NOTHING) {
            java.util.Arrays.fill(levels, to, to + 16, 0);
            return 0;
        }
        float scale = 0;
        float best = 0;
        for (int step = 0; step < 19; step++) {
            int shift = step == 0 ? 0 : step <= 9 ? step - 10 : step - 9; // 0, then -9..-1, 1..9
            float inverse = step == 0 ? -32 / extreme : -(32 + 0.1f * shift) / extreme;
            float products = 0;
            float squares = 0;
            for (int i = 0; i < 16; i++) {
                float value = x[from + i];
                int level = Math.clamp(round(inverse * value), -32, 31);
                tried[i] = level;
                float weight = value * value;
                products += weight * value * level;
                squares += weight * level * level;
            }
            if (step == 0 || squares > 0 && products * products > best * squares) {
                for (int i = 0; i < 16; i++) {
                    levels[to + i] = tried[i] + 32;
                }
                scale = squares == 0 ? 0 : products / squares;
                best = scale * products;
            }
        }
        return scale;
    }

    /** Where the largest value by size stands; the first of several. */
    private static int extreme(float[] x, int from, int count) {
        float largest = 0;
        int found = 0;
        for (int i = 0; i < count; i++) {
            if (Math.abs(x[from + i]) > largest) {
                largest = Math.abs(x[from + i]);
                found = i;
            }
        }
        return found;
    }

    private static int round(float value) {
        return (int) Math.rint(value);
    }

    private static void half(MemorySegment out, long at, float value) {
        out.set(SHORT, at, Float.floatToFloat16(value));
    }
}

package shoal.bridge.make;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.EnumMap;
import java.util.Map;
import shoal.bridge.kernel.scalar.Dequantizer;
import shoal.bridge.kernel.scalar.ScalarOperations;
import shoal.codec.gguf.GgmlType;

/**
 * Random weights drawn as the blocks of a type, without quantising anything: levels and inner scales are random bits, the outer
 * scale is set so that values have the wanted deviation and, its sign being random, the mean 0.
 */
public final class RandomBlocks {
    private static final ValueLayout.OfShort SHORT =
            ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    static final ValueLayout.OfFloat FLOAT = ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final int PROBED_BLOCKS = 256;
    private static final float UNIFORM = (float) Math.sqrt(3); // of a uniform number in -1..1, over its deviation

    /**
     * Where a block's outer scale stands.
     *
     * @param scaleAt an F16
     * @param constantAt an F16 behind which a constant is added or taken away, -1 for none
     * @param constantFactor times the scale, so that the mean is 0
     */
    private record Scales(int scaleAt, int constantAt, float constantFactor) {}

    private static final Map<GgmlType, Scales> SCALES = new EnumMap<>(Map.ofEntries(
            Map.entry(GgmlType.Q8_0, new Scales(0, -1, 0)),
            Map.entry(GgmlType.Q4_0, new Scales(0, -1, 0)),
            Map.entry(GgmlType.Q5_0, new Scales(0, -1, 0)),
            Map.entry(GgmlType.IQ4_NL, new Scales(0, -1, 0)),
            Map.entry(GgmlType.IQ4_XS, new Scales(0, -1, 0)),
            Map.entry(GgmlType.Q3_K, new Scales(108, -1, 0)),
            Map.entry(GgmlType.Q6_K, new Scales(208, -1, 0)),
            Map.entry(GgmlType.Q4_1, new Scales(0, 2, -7.5f)),
            Map.entry(GgmlType.Q5_1, new Scales(0, 2, -15.5f)),
            Map.entry(GgmlType.Q2_K, new Scales(80, 82, 1.5f)),
            Map.entry(GgmlType.Q4_K, new Scales(0, 2, 7.5f)),
            Map.entry(GgmlType.Q5_K, new Scales(0, 2, 15.5f))));

    private static final Map<GgmlType, Double> DEVIATIONS = new EnumMap<>(GgmlType.class);

    static {
        for (GgmlType type : SCALES.keySet()) {
            DEVIATIONS.put(type, probe(type));
        }
        DEVIATIONS.put(GgmlType.MXFP4, probe(GgmlType.MXFP4));
    }

    private long state;

    public RandomBlocks(long seed) {
        state = seed;
    }

    /** Whether blocks of this type can be drawn. */
    public static boolean knows(GgmlType type) {
        return SCALES.containsKey(type)
                || switch (type) {
                    case F32, F16, BF16, MXFP4 -> true;
                    default -> false;
                };
    }

    /** Fills a segment of whole blocks; a value's deviation is the one given. */
    public void fill(GgmlType type, MemorySegment out, double deviation) {
        switch (type) {
            case F32 -> {
                for (long at = 0; at < out.byteSize(); at += 4) {
                    out.set(FLOAT, at, uniform((float) deviation));
                }
            }
            case F16 -> {
                for (long at = 0; at < out.byteSize(); at += 2) {
                    out.set(SHORT, at, Float.floatToFloat16(uniform((float) deviation)));
                }
            }
            case BF16 -> {
                for (long at = 0; at < out.byteSize(); at += 2) {
                    out.set(SHORT, at, (short) (Float.floatToRawIntBits(uniform((float) deviation)) >>> 16));
                }
            }
            case MXFP4 -> {
                bits(out);
                int exponent = (int) Math.round(127 + Math.log(deviation / deviationOf(type)) / Math.log(2));
                for (long at = 0; at < out.byteSize(); at += type.blockBytes()) {
                    out.set(ValueLayout.JAVA_BYTE, at, (byte) (exponent - (next() >>> 63)));
                }
            }
            default -> fillScaled(type, out, deviation);
        }
    }

    private void fillScaled(GgmlType type, MemorySegment out, double deviation) {
        Scales scales = SCALES.get(type);
        if (scales == null) {
            throw new IllegalArgumentException("random " + type + " is not known");
        }
        bits(out);
        float middle = (float) (deviation / deviationOf(type));
        for (long at = 0; at < out.byteSize(); at += type.blockBytes()) {
            long random = next();
            float scale = middle * (0.75f + 0.5f * (random >>> 40) * 0x1p-24f);
            setScales(out, at, scales, (random & 1) == 0 ? scale : -scale);
        }
    }

    private static void setScales(MemorySegment out, long at, Scales scales, float scale) {
        out.set(SHORT, at + scales.scaleAt, Float.floatToFloat16(scale));
        if (scales.constantAt >= 0) {
            out.set(SHORT, at + scales.constantAt, Float.floatToFloat16(scale * scales.constantFactor));
        }
    }

    /** Of the values of a block whose scale is 1. */
    private static double deviationOf(GgmlType type) {
        Double found = DEVIATIONS.get(type);
        if (found == null) {
            throw new IllegalArgumentException("random " + type + " is not known");
        }
        return found;
    }

    private static double probe(GgmlType type) {
        MemorySegment bytes = MemorySegment.ofArray(new byte[PROBED_BLOCKS * type.blockBytes()]);
        new RandomBlocks(type.id()).bits(bytes);
        Scales scales = SCALES.get(type);
        for (int i = 0; i < PROBED_BLOCKS; i++) {
            long at = (long) i * type.blockBytes();
            if (scales == null) {
                bytes.set(ValueLayout.JAVA_BYTE, at, (byte) 127); // MXFP4: two to the power of 0
            } else {
                setScales(bytes, at, scales, 1f);
            }
        }
        float[] values = new float[PROBED_BLOCKS * type.blockValues()];
        Dequantizer dequantizer = ScalarOperations.dequantizer(type);
        dequantizer.dequantise(bytes, 0, values.length, values, 0);
        double squares = 0;
        for (float value : values) {
            squares += (double) value * value;
        }
        return Math.sqrt(squares / values.length);
    }

    private void bits(MemorySegment out) {
        long whole = out.byteSize() / Long.BYTES * Long.BYTES;
        for (long at = 0; at < whole; at += Long.BYTES) {
            out.set(LONG, at, next());
        }
        for (long at = whole; at < out.byteSize(); at++) {
            out.set(ValueLayout.JAVA_BYTE, at, (byte) next());
        }
    }

    private float uniform(float deviation) {
        return ((next() >>> 40) * 0x1p-23f - 1f) * UNIFORM * deviation;
    }

    /** SplitMix64 (Steele, Lea, Flood 2014). */
    private long next() {
        state += 0x9e3779b97f4a7c15L;
        long z = state;
        z = (z ^ z >>> 30) * 0xbf58476d1ce4e5b9L;
        z = (z ^ z >>> 27) * 0x94d049bb133111ebL;
        return z ^ z >>> 31;
    }
}

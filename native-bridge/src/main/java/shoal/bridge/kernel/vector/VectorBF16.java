package shoal.bridge.kernel.vector;

import static shoal.bridge.kernel.vector.Lanes.FLOATS;
import static shoal.bridge.kernel.vector.Lanes.GROUPS;
import static shoal.bridge.kernel.vector.Lanes.WIDTH;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import jdk.incubator.vector.FloatVector;
import shoal.bridge.kernel.SumOrder;
import shoal.bridge.kernel.host.HostBuffer;

/** Rows of BF16, the upper halves of F32. */
final class VectorBF16 extends RowKernel {
    private static final int BYTES = 2;

    private static final ValueLayout.OfShort LAYOUT =
            ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    @Override
    void fourRows(MemorySegment w, long a, long b, long c, long d, int columns, HostBuffer x, int t, float[] lanes) {
        float[] values = x.values();
        int whole = columns / SumOrder.LANES * SumOrder.LANES;
        for (int group = 0; group < GROUPS; group++) {
            FloatVector sumA = FloatVector.zero(FLOATS);
            FloatVector sumB = FloatVector.zero(FLOATS);
            FloatVector sumC = FloatVector.zero(FLOATS);
            FloatVector sumD = FloatVector.zero(FLOATS);
            for (int column = group * WIDTH; column < whole; column += SumOrder.LANES) {
                FloatVector v = FloatVector.fromArray(FLOATS, values, t * columns + column);
                long offset = (long) column * BYTES;
                sumA = Lanes.brainHalves(w, a + offset).fma(v, sumA);
                sumB = Lanes.brainHalves(w, b + offset).fma(v, sumB);
                sumC = Lanes.brainHalves(w, c + offset).fma(v, sumC);
                sumD = Lanes.brainHalves(w, d + offset).fma(v, sumD);
            }
            sumA.intoArray(lanes, group * WIDTH);
            sumB.intoArray(lanes, SumOrder.LANES + group * WIDTH);
            sumC.intoArray(lanes, 2 * SumOrder.LANES + group * WIDTH);
            sumD.intoArray(lanes, 3 * SumOrder.LANES + group * WIDTH);
        }
        for (int column = whole; column < columns; column++) {
            long offset = (long) column * BYTES;
            float v = values[t * columns + column];
            int lane = column - whole;
            lanes[lane] = Math.fma(value(w, a + offset), v, lanes[lane]);
            lanes[lane + 16] = Math.fma(value(w, b + offset), v, lanes[lane + 16]);
            lanes[lane + 32] = Math.fma(value(w, c + offset), v, lanes[lane + 32]);
            lanes[lane + 48] = Math.fma(value(w, d + offset), v, lanes[lane + 48]);
        }
    }

    @Override
    void fourTokens(MemorySegment w, long row, int columns, HostBuffer x, int a, int b, int c, int d, float[] lanes) {
        float[] values = x.values();
        int whole = columns / SumOrder.LANES * SumOrder.LANES;
        for (int group = 0; group < GROUPS; group++) {
            FloatVector sumA = FloatVector.zero(FLOATS);
            FloatVector sumB = FloatVector.zero(FLOATS);
            FloatVector sumC = FloatVector.zero(FLOATS);
            FloatVector sumD = FloatVector.zero(FLOATS);
            for (int column = group * WIDTH; column < whole; column += SumOrder.LANES) {
                FloatVector weight = Lanes.brainHalves(w, row + (long) column * BYTES);
                sumA = weight.fma(FloatVector.fromArray(FLOATS, values, a * columns + column), sumA);
                sumB = weight.fma(FloatVector.fromArray(FLOATS, values, b * columns + column), sumB);
                sumC = weight.fma(FloatVector.fromArray(FLOATS, values, c * columns + column), sumC);
                sumD = weight.fma(FloatVector.fromArray(FLOATS, values, d * columns + column), sumD);
            }
            sumA.intoArray(lanes, group * WIDTH);
            sumB.intoArray(lanes, SumOrder.LANES + group * WIDTH);
            sumC.intoArray(lanes, 2 * SumOrder.LANES + group * WIDTH);
            sumD.intoArray(lanes, 3 * SumOrder.LANES + group * WIDTH);
        }
        for (int column = whole; column < columns; column++) {
            float weight = value(w, row + (long) column * BYTES);
            int lane = column - whole;
            lanes[lane] = Math.fma(weight, values[a * columns + column], lanes[lane]);
            lanes[lane + 16] = Math.fma(weight, values[b * columns + column], lanes[lane + 16]);
            lanes[lane + 32] = Math.fma(weight, values[c * columns + column], lanes[lane + 32]);
            lanes[lane + 48] = Math.fma(weight, values[d * columns + column], lanes[lane + 48]);
        }
    }

    private static float value(MemorySegment w, long offset) {
        return Float.intBitsToFloat(w.get(LAYOUT, offset) << 16);
    }
}

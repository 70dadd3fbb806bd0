package shoal.bridge.kernel.vector;

import static shoal.bridge.kernel.vector.Lanes.FLOATS;
import static shoal.bridge.kernel.vector.Lanes.GROUPS;
import static shoal.bridge.kernel.vector.Lanes.WIDTH;

import java.lang.foreign.MemorySegment;
import jdk.incubator.vector.FloatVector;
import shoal.bridge.kernel.SumOrder;
import shoal.bridge.kernel.host.HostBuffer;

/** Rows of F16. */
final class VectorF16 extends RowKernel {
    private static final int BYTES = 2;

    @Override
    void fourRows(MemorySegment w, long a, long b, long c, long d, int columns, HostBuffer x, int t, float[] lanes) {
        twoRows(w, a, b, columns, x, t, lanes, 0);
        twoRows(w, c, d, columns, x, t, lanes, 2 * SumOrder.LANES);
    }

    /** Two at a time: the compiler gives up on a loop over four, which has too many nodes to inline. */
    private static void twoRows(
            MemorySegment w, long a, long b, int columns, HostBuffer x, int t, float[] lanes, int at) {
        float[] values = x.values();
        int whole = columns / SumOrder.LANES * SumOrder.LANES;
        for (int group = 0; group < GROUPS; group++) {
            FloatVector sumA = FloatVector.zero(FLOATS);
            FloatVector sumB = FloatVector.zero(FLOATS);
            for (int column = group * WIDTH; column < whole; column += SumOrder.LANES) {
                FloatVector v = FloatVector.fromArray(FLOATS, values, t * columns + column);
                long offset = (long) column * BYTES;
                sumA = Lanes.halves(w, a + offset).fma(v, sumA);
                sumB = Lanes.halves(w, b + offset).fma(v, sumB);
            }
            sumA.intoArray(lanes, at + group * WIDTH);
            sumB.intoArray(lanes, at + SumOrder.LANES + group * WIDTH);
        }
        for (int column = whole; column < columns; column++) {
            long offset = (long) column * BYTES;
            float v = values[t * columns + column];
            int lane = column - whole;
            lanes[at + lane] = Math.fma(value(w, a + offset), v, lanes[at + lane]);
            lanes[at + lane + 16] = Math.fma(value(w, b + offset), v, lanes[at + lane + 16]);
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
                FloatVector weight = Lanes.halves(w, row + (long) column * BYTES);
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
        return Lanes.half(w, offset);
    }
}

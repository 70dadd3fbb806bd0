package shoal.bridge.kernel.vector;

import static shoal.bridge.kernel.vector.Lanes.FLOATS;
import static shoal.bridge.kernel.vector.Lanes.GROUPS;
import static shoal.bridge.kernel.vector.Lanes.WIDTH;

import java.lang.foreign.MemorySegment;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;
import shoal.bridge.kernel.SumOrder;
import shoal.bridge.kernel.host.HostBuffer;

/** Rows of {@link shoal.bridge.kernel.scalar.Q6_K} with one token. */
final class VectorQ6_K implements RowLoop {
    private static final int BLOCK_BYTES = 210;
    private static final int HIGH = 128;

    @Override
    public void multiply(
            MemorySegment w, long row, int columns, HostBuffer x, UnpackedRows rows, float[] lanes, int at) {
        int parts = columns / HostBuffer.BLOCK;
        float[] levels = x.levels();
        float[] scales = rows.scales;
        float[] factors = rows.factors;
        for (int group = 0; group < GROUPS; group++) {
            FloatVector sum = FloatVector.zero(FLOATS);
            for (int part = 0; part < parts; part++) {
                int column = part * HostBuffer.BLOCK + group * WIDTH;
                long block = row + (long) (part >> 3) * BLOCK_BYTES;
                long bits = block + 16L * (part & 4) + 32L * (part & 1);
                long top = block + HIGH + 8L * (part & 4);
                FloatVector product = FloatVector.zero(FLOATS);
                for (int side = 0; side < 2; side++) {
                    FloatVector x16 = FloatVector.fromArray(FLOATS, levels, column + side * SumOrder.LANES);
                    product = level(w, bits + side * 16L, top + side * 16L, part, group)
                            .fma(x16, x16.mul(-32f))
                            .fma(FloatVector.broadcast(FLOATS, factors[2 * part + side]), product);
                }
                // the broadcast comes first: of product, which a loop made, the compiler knows no exact class
                sum = FloatVector.broadcast(FLOATS, scales[part]).fma(product, sum);
            }
            sum.intoArray(lanes, at + group * WIDTH);
        }
    }

    /** Levels plus 32. */
    private static FloatVector level(MemorySegment w, long bits, long top, int part, int group) {
        IntVector low = Lanes.unsignedBytes(w, bits, group)
                .lanewise(VectorOperators.LSHR, 2 * (part & 2))
                .and(15);
        IntVector high = Lanes.unsignedBytes(w, top, group)
                .lanewise(VectorOperators.LSHR, 2 * (part & 3))
                .and(3);
        return Lanes.toFloats(high.lanewise(VectorOperators.LSHL, 4).or(low));
    }
}

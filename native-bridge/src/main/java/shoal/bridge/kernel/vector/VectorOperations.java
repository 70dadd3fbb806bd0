package shoal.bridge.kernel.vector;

import static shoal.bridge.kernel.vector.Lanes.FLOATS;
import static shoal.bridge.kernel.vector.Lanes.GROUPS;
import static shoal.bridge.kernel.vector.Lanes.WIDTH;

import java.util.EnumMap;
import java.util.Map;
import java.util.Set;
import jdk.incubator.vector.FloatVector;
import shoal.bridge.kernel.Op;
import shoal.bridge.kernel.SumOrder;
import shoal.bridge.kernel.host.AttentionBlock;
import shoal.bridge.kernel.host.HostBuffer;
import shoal.bridge.kernel.host.HostOperations;
import shoal.bridge.kernel.host.HostWeights;
import shoal.bridge.kernel.scalar.ScalarOperations;
import shoal.codec.gguf.GgmlType;

/** The sums of {@link ScalarOperations}, to the bit. A type without a kernel here runs on the plain loops. */
public final class VectorOperations implements HostOperations {
    private static final int LANES = SumOrder.LANES;

    private final ScalarOperations scalar = new ScalarOperations();
    private final ThreadLocal<VectorAttention> attention = ThreadLocal.withInitial(VectorAttention::new);
    private final Map<GgmlType, MatrixKernel> kernels = new EnumMap<>(GgmlType.class);

    public VectorOperations() {
        kernels.put(GgmlType.F32, new VectorF32());
        kernels.put(GgmlType.F16, new VectorF16());
        kernels.put(GgmlType.BF16, new VectorBF16());
        kernels.put(GgmlType.Q8_0, new BlockKernel(new UnpackQ8_0(), new RowQ8_0()));
        kernels.put(GgmlType.Q4_0, new BlockKernel(new UnpackQ4_0(), new RowQ4_0()));
        kernels.put(GgmlType.Q4_1, new BlockKernel(new UnpackQ4_1(), new RowQ4_1()));
        kernels.put(GgmlType.Q5_0, new BlockKernel(new UnpackQ5_0(), new RowQ5_0()));
        kernels.put(GgmlType.Q5_1, new BlockKernel(new UnpackQ5_1(), new RowQ5_1()));
        kernels.put(GgmlType.Q2_K, new BlockKernel(new UnpackQ2_K(), new RowQ2_K()));
        kernels.put(GgmlType.Q3_K, new BlockKernel(new UnpackQ3_K(), new RowQ3_K()));
        kernels.put(GgmlType.Q4_K, new BlockKernel(new UnpackQ4_K(), new RowQ4_K()));
        kernels.put(GgmlType.Q5_K, new BlockKernel(new UnpackQ5_K(), new RowQ5_K()));
        kernels.put(GgmlType.Q6_K, new BlockKernel(new UnpackQ6_K(), new RowQ6_K()));
        kernels.put(GgmlType.IQ4_NL, new BlockKernel(new UnpackIQ4_NL(), new RowIQ4_NL()));
        kernels.put(GgmlType.IQ4_XS, new BlockKernel(new UnpackIQ4_XS(), new RowIQ4_XS()));
        kernels.put(GgmlType.MXFP4, new BlockKernel(new UnpackMXFP4(), new RowMXFP4()));
    }

    /** Bits of the vectors that run here: 128, 256 or 512. */
    public static int vectorBits() {
        return FLOATS.vectorBitSize();
    }

    @Override
    public Set<GgmlType> types() {
        return scalar.types();
    }

    @Override
    public void multiply(
            HostWeights w,
            int firstRow,
            int rowCount,
            HostBuffer x,
            int tokens,
            float[] out,
            int outStride,
            int outColumn) {
        MatrixKernel kernel = kernels.get(w.type());
        if (kernel == null) {
            scalar.multiply(w, firstRow, rowCount, x, tokens, out, outStride, outColumn);
        } else {
            kernel.multiply(w, firstRow, rowCount, x, tokens, out, outStride, outColumn);
        }
    }

    @Override
    public void dequantiseRow(HostWeights w, int row, float[] out, int outOffset) {
        scalar.dequantiseRow(w, row, out, outOffset);
    }

    @Override
    public float sum(float[] values, int offset, int size) {
        float[] lanes = new float[LANES];
        int whole = size / LANES * LANES;
        for (int group = 0; group < GROUPS; group++) {
            FloatVector sum = FloatVector.zero(FLOATS);
            for (int c = group * WIDTH; c < whole; c += LANES) {
                sum = sum.add(FloatVector.fromArray(FLOATS, values, offset + c));
            }
            sum.intoArray(lanes, group * WIDTH);
        }
        for (int c = whole; c < size; c++) {
            lanes[c - whole] += values[offset + c];
        }
        return SumOrder.tree(lanes, 0);
    }

    @Override
    public float sumOfSquares(float[] values, int offset, int size) {
        float[] lanes = new float[LANES];
        int whole = size / LANES * LANES;
        for (int group = 0; group < GROUPS; group++) {
            FloatVector sum = FloatVector.zero(FLOATS);
            for (int c = group * WIDTH; c < whole; c += LANES) {
                FloatVector v = FloatVector.fromArray(FLOATS, values, offset + c);
                sum = v.fma(v, sum);
            }
            sum.intoArray(lanes, group * WIDTH);
        }
        for (int c = whole; c < size; c++) {
            float v = values[offset + c];
            lanes[c - whole] = Math.fma(v, v, lanes[c - whole]);
        }
        return SumOrder.tree(lanes, 0);
    }

    @Override
    public void attend(AttentionBlock block) {
        attention.get().attend(block);
    }

    @Override
    public void gate(float[] gate, float[] up, Op.Gating gating, int from, int to) {
        int whole = from + (to - from) / WIDTH * WIDTH;
        switch (gating) {
            case SILU -> silu(gate, up, from, whole);
            case GELU -> gelu(gate, up, from, whole);
            case CLAMPED_SILU -> whole = from;
        }
        scalar.gate(gate, up, gating, whole, to);
    }

    private static void silu(float[] gate, float[] up, int from, int to) {
        for (int i = from; i < to; i += WIDTH) {
            VectorExponential.silu(FloatVector.fromArray(FLOATS, gate, i))
                    .mul(FloatVector.fromArray(FLOATS, up, i))
                    .intoArray(gate, i);
        }
    }

    private static void gelu(float[] gate, float[] up, int from, int to) {
        for (int i = from; i < to; i += WIDTH) {
            VectorExponential.gelu(FloatVector.fromArray(FLOATS, gate, i))
                    .mul(FloatVector.fromArray(FLOATS, up, i))
                    .intoArray(gate, i);
        }
    }
}

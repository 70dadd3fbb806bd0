package shoal.bridge.kernel.vector;

import static shoal.bridge.kernel.vector.Lanes.FLOATS;
import static shoal.bridge.kernel.vector.Lanes.GROUPS;
import static shoal.bridge.kernel.vector.Lanes.WIDTH;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.Map;
import java.util.Set;
import jdk.incubator.vector.FloatVector;
import shoal.bridge.kernel.Op;
import shoal.bridge.kernel.SumOrder;
import shoal.bridge.kernel.host.HostBuffer;
import shoal.bridge.kernel.host.HostOperations;
import shoal.bridge.kernel.host.HostSequence;
import shoal.bridge.kernel.host.HostWeights;
import shoal.bridge.kernel.scalar.ScalarOperations;
import shoal.codec.gguf.GgmlType;

/** The sums of {@link ScalarOperations}, to the bit. A type without a kernel here runs on the plain loops. */
public final class VectorOperations implements HostOperations {
    private static final int LANES = SumOrder.LANES;

    private final ScalarOperations scalar = new ScalarOperations();
    private final Map<GgmlType, MatrixKernel> kernels = new EnumMap<>(GgmlType.class);

    public VectorOperations() {
        kernels.put(GgmlType.F32, new VectorF32());
        kernels.put(GgmlType.F16, new VectorF16());
        kernels.put(GgmlType.BF16, new VectorBF16());
        kernels.put(GgmlType.Q8_0, new BlockKernel(new UnpackQ8_0(), new RowQ8_0()));
        kernels.put(GgmlType.Q4_0, new BlockKernel(new UnpackQ4_0(), new RowQ4_0()));
        kernels.put(GgmlType.Q4_1, new BlockKernel(new UnpackQ4_1()));
        kernels.put(GgmlType.Q5_0, new BlockKernel(new UnpackQ5_0()));
        kernels.put(GgmlType.Q5_1, new BlockKernel(new UnpackQ5_1()));
        kernels.put(GgmlType.Q2_K, new BlockKernel(new UnpackQ2_K()));
        kernels.put(GgmlType.Q3_K, new BlockKernel(new UnpackQ3_K()));
        kernels.put(GgmlType.Q4_K, new BlockKernel(new UnpackQ4_K(), new RowQ4_K()));
        kernels.put(GgmlType.Q5_K, new BlockKernel(new UnpackQ5_K()));
        kernels.put(GgmlType.Q6_K, new BlockKernel(new UnpackQ6_K()));
        kernels.put(GgmlType.IQ4_NL, new BlockKernel(new UnpackIQ4_NL()));
        kernels.put(GgmlType.IQ4_XS, new BlockKernel(new UnpackIQ4_XS()));
        kernels.put(GgmlType.MXFP4, new BlockKernel(new UnpackMXFP4()));
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
    public void attend(
            HostSequence sequence,
            int layer,
            int kvHead,
            int first,
            int positions,
            float[] query,
            int queryOffset,
            Op.Scores rule,
            int head,
            float[] scores,
            float[] out,
            int outOffset) {
        int size = sequence.shape().headSize();
        float[] lanes = new float[LANES];
        for (int p = first; p < positions; p++) {
            long key = sequence.keyOffset(layer, kvHead, p);
            scores[p] = ScalarOperations.score(product(sequence.page(p), key, size, query, queryOffset, lanes), rule);
        }
        float inverse = 1f / ScalarOperations.softmax(scores, first, positions, rule, head, lanes);
        int whole = size / WIDTH * WIDTH;
        for (int c = 0; c < whole; c += WIDTH) {
            FloatVector sum = FloatVector.zero(FLOATS);
            for (int start = first; start < positions; ) {
                MemorySegment page = sequence.page(start);
                long at = sequence.valueOffset(layer, kvHead, start) + (long) c * Float.BYTES;
                int inPage = HostSequence.PAGE_POSITIONS - start % HostSequence.PAGE_POSITIONS;
                int count = Math.min(inPage, positions - start);
                for (int i = 0; i < count; i++) {
                    FloatVector value = Lanes.floats(page, at + (long) i * size * Float.BYTES);
                    sum = value.fma(FloatVector.broadcast(FLOATS, scores[start + i]), sum);
                }
                start += count;
            }
            sum.mul(inverse).intoArray(out, outOffset + c);
        }
        for (int c = whole; c < size; c++) {
            float sum = 0;
            for (int p = first; p < positions; p++) {
                long at = sequence.valueOffset(layer, kvHead, p) + (long) c * Float.BYTES;
                sum = Math.fma(scores[p], sequence.page(p).get(ValueLayout.JAVA_FLOAT, at), sum);
            }
            out[outOffset + c] = sum * inverse;
        }
    }

    private static float product(
            MemorySegment page, long key, int size, float[] query, int queryOffset, float[] lanes) {
        int whole = size / LANES * LANES;
        if (whole == 0) {
            Arrays.fill(lanes, 0f);
        } else {
            for (int group = 0; group < GROUPS; group++) {
                FloatVector sum = FloatVector.zero(FLOATS);
                for (int c = group * WIDTH; c < whole; c += LANES) {
                    FloatVector q = FloatVector.fromArray(FLOATS, query, queryOffset + c);
                    sum = Lanes.floats(page, key + (long) c * Float.BYTES).fma(q, sum);
                }
                sum.intoArray(lanes, group * WIDTH);
            }
        }
        for (int c = whole; c < size; c++) {
            float value = page.get(ValueLayout.JAVA_FLOAT, key + (long) c * Float.BYTES);
            lanes[c - whole] = Math.fma(value, query[queryOffset + c], lanes[c - whole]);
        }
        return SumOrder.tree(lanes, 0);
    }
}

package shoal.bridge.kernel;

import java.io.ByteArrayOutputStream;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import shoal.bridge.kernel.host.AttentionBlock;
import shoal.bridge.kernel.host.ComputePool;
import shoal.bridge.kernel.host.HostBuffer;
import shoal.bridge.kernel.host.HostOperations;
import shoal.bridge.kernel.host.HostSequence;
import shoal.bridge.kernel.host.HostWeights;
import shoal.bridge.kernel.scalar.ScalarOperations;
import shoal.codec.gguf.GgmlType;

/** The plain loops, who write down what they were asked and what they answered, as src/test/c/agree.c reads it. */
final class NativeCases implements HostOperations {
    private final ScalarOperations scalar = new ScalarOperations();
    private final ByteArrayOutputStream cases = new ByteArrayOutputStream();
    private final List<String> names = new ArrayList<>();
    private final List<float[]> answers = new ArrayList<>();

    /** All cases: their number, then each; little-endian. */
    byte[] bytes() {
        return ByteBuffer.allocate(Integer.BYTES + cases.size())
                .order(ByteOrder.LITTLE_ENDIAN)
                .putInt(names.size())
                .put(cases.toByteArray())
                .array();
    }

    List<String> names() {
        return names;
    }

    List<float[]> answers() {
        return answers;
    }

    private void add(int... numbers) {
        ByteBuffer bytes = ByteBuffer.allocate(Integer.BYTES * numbers.length).order(ByteOrder.LITTLE_ENDIAN);
        bytes.asIntBuffer().put(numbers);
        cases.writeBytes(bytes.array());
    }

    private void add(float[] numbers, int from, int size) {
        ByteBuffer bytes = ByteBuffer.allocate(Float.BYTES * size).order(ByteOrder.LITTLE_ENDIAN);
        bytes.asFloatBuffer().put(numbers, from, size);
        cases.writeBytes(bytes.array());
    }

    /** A product of all rows. */
    void product(HostWeights w, float[] values, int tokens) {
        float[] out = new float[tokens * w.rows()];
        try (var alone = new ComputePool(1)) {
            HostBuffer x = HostBuffer.of(w.columns(), values);
            scalar.prepare(w, x, tokens, alone, 1);
            scalar.multiply(w, 0, w.rows(), x, tokens, out, w.rows(), 0);
        }
        byte[] bytes = w.bytes().toArray(ValueLayout.JAVA_BYTE);
        add(
                0,
                w.type().id(),
                w.rows(),
                w.columns(),
                tokens,
                bytes.length,
                w.type().blockValues() > 1 ? 1 : 0);
        cases.writeBytes(bytes);
        add(values, 0, values.length);
        names.add(w.type() + ": " + w.rows() + " rows of " + w.columns() + " times " + tokens + " tokens");
        answers.add(out);
    }

    /** Both gates, and the sum of squares of what they are multiplied with. */
    void elements(float[] gates, float[] up) {
        int size = gates.length;
        float[] answer = new float[2 * size + 1];
        System.arraycopy(gates, 0, answer, 0, size);
        scalar.gate(answer, up, Op.Gating.SILU, 0, size);
        float[] gelu = gates.clone();
        scalar.gate(gelu, up, Op.Gating.GELU, 0, size);
        System.arraycopy(gelu, 0, answer, size, size);
        answer[2 * size] = scalar.sumOfSquares(up, 0, size);
        add(2, size);
        add(gates, 0, size);
        add(up, 0, size);
        names.add("gates and squares of " + size);
        answers.add(answer);
    }

    @Override
    public void attend(AttentionBlock block) {
        HostSequence sequence = block.sequence();
        CacheShape shape = sequence.shape();
        int first = block.first(0) / HostSequence.PAGE_POSITIONS;
        int pages = (block.end(block.count() - 1) - 1) / HostSequence.PAGE_POSITIONS + 1 - first;
        int floats = (block.rows() - 1) * block.stride() + block.heads() * shape.headSize();
        float[] sinks = block.rule().sinks();
        add(
                1,
                shape.type().ordinal(),
                (int) sequence.keysOffset(block.layer(), block.kvHead()),
                (int) sequence.valuesOffset(block.layer(), block.kvHead()),
                shape.headSize(),
                block.firstPosition(),
                block.rows(),
                block.heads(),
                block.stride(),
                block.rule().window(),
                pages,
                (int) shape.pageBytes(),
                sinks == null ? 0 : block.heads(),
                floats);
        add(new float[] {block.rule().scale(), block.rule().softCap()}, 0, 2);
        if (sinks != null) {
            add(sinks, block.firstHead(), block.heads());
        }
        add(block.queries(), block.start(), floats);
        for (int i = 0; i < pages; i++) {
            MemorySegment page = sequence.page((first + i) * HostSequence.PAGE_POSITIONS);
            cases.writeBytes(page.toArray(ValueLayout.JAVA_BYTE));
        }
        scalar.attend(block);
        float[] answer = new float[floats];
        for (int i = 0; i < block.count(); i++) {
            System.arraycopy(block.out(), block.offset(i), answer, block.offset(i) - block.start(), shape.headSize());
        }
        names.add("attention over " + shape.type() + ", heads of " + shape.headSize() + ", " + block.rows() + " rows, "
                + block.rule());
        answers.add(answer);
    }

    @Override
    public Set<GgmlType> types() {
        return scalar.types();
    }

    @Override
    public void prepare(HostWeights w, HostBuffer x, int tokens, ComputePool pool, int pieces) {
        scalar.prepare(w, x, tokens, pool, pieces);
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
        scalar.multiply(w, firstRow, rowCount, x, tokens, out, outStride, outColumn);
    }

    @Override
    public void dequantiseRow(HostWeights w, int row, float[] out, int outOffset) {
        scalar.dequantiseRow(w, row, out, outOffset);
    }

    @Override
    public float sum(float[] values, int offset, int size) {
        return scalar.sum(values, offset, size);
    }

    @Override
    public float sumOfSquares(float[] values, int offset, int size) {
        return scalar.sumOfSquares(values, offset, size);
    }

    @Override
    public void gate(float[] gate, float[] up, Op.Gating gating, int from, int to) {
        scalar.gate(gate, up, gating, from, to);
    }
}

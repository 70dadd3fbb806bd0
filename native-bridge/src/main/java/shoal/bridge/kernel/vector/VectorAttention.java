package shoal.bridge.kernel.vector;

import static shoal.bridge.kernel.vector.Lanes.FLOATS;
import static shoal.bridge.kernel.vector.Lanes.GROUPS;
import static shoal.bridge.kernel.vector.Lanes.WIDTH;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorOperators;
import shoal.bridge.kernel.CacheType;
import shoal.bridge.kernel.Exponential;
import shoal.bridge.kernel.Op;
import shoal.bridge.kernel.SumOrder;
import shoal.bridge.kernel.host.AttentionBlock;
import shoal.bridge.kernel.host.HostSequence;
import shoal.bridge.kernel.scalar.ScalarOperations;

/**
 * Attention, page by page: a page's keys, and later its values, are made F32 once for all queries of a block. Positions lie in lanes
 * for scores, a head's values for the sums. One thread's scratch; grows, never shrinks.
 */
final class VectorAttention {
    private static final int PAGE = HostSequence.PAGE_POSITIONS;
    private static final int BLOCK = CacheType.BLOCK;

    private float[] page = new float[0];
    private float[] scores = new float[0];
    private float[] inverses = new float[0];
    private final float[] lanes = new float[SumOrder.LANES];

    void attend(AttentionBlock block) {
        int size = block.sequence().shape().headSize();
        int count = block.count();
        int start = block.first(0) / PAGE * PAGE;
        int end = (block.end(count - 1) + PAGE - 1) / PAGE * PAGE;
        int stride = end - start;
        if (page.length < PAGE * size) {
            page = new float[PAGE * size];
        }
        if (scores.length < Math.multiplyExact(count, stride)) {
            scores = new float[count * stride];
        }
        if (inverses.length < count) {
            inverses = new float[count];
        }
        for (int p = start; p < end; p += PAGE) {
            loadKeys(block.sequence(), block.layer(), block.kvHead(), p);
            for (int i = 0; i < count; i += 4) {
                int b = Math.min(i + 1, count - 1);
                int c = Math.min(i + 2, count - 1);
                int d = Math.min(i + 3, count - 1);
                int at = p - start;
                products(
                        page,
                        size,
                        block.queries(),
                        block.offset(i),
                        block.offset(b),
                        block.offset(c),
                        block.offset(d),
                        scores,
                        i * stride + at,
                        b * stride + at,
                        c * stride + at,
                        d * stride + at);
            }
        }
        for (int i = 0; i < count; i++) {
            float inverse = 1f / softmax(block, i, start, i * stride, stride);
            Arrays.fill(block.out(), block.offset(i), block.offset(i) + size, 0f);
            inverses[i] = inverse;
        }
        for (int p = start; p < end; p += PAGE) {
            loadValues(block.sequence(), block.layer(), block.kvHead(), p);
            for (int i = 0; i < count; i++) {
                int from = Math.max(block.first(i) - p, 0);
                int to = Math.min(block.end(i) - p, PAGE);
                if (from < to) {
                    addValues(page, size, from, to, scores, i * stride + p - start, block.out(), block.offset(i));
                }
            }
        }
        for (int i = 0; i < count; i++) {
            int offset = block.offset(i);
            for (int c = 0; c < size; c++) {
                block.out()[offset + c] *= inverses[i];
            }
        }
    }

    /** Four queries times 16 keys. */
    private static void products(
            float[] keys,
            int size,
            float[] queries,
            int a,
            int b,
            int c,
            int d,
            float[] scores,
            int toA,
            int toB,
            int toC,
            int toD) {
        for (int group = 0; group < GROUPS; group++) {
            FloatVector sumA = FloatVector.zero(FLOATS);
            FloatVector sumB = sumA;
            FloatVector sumC = sumA;
            FloatVector sumD = sumA;
            for (int i = 0; i < size; i++) {
                FloatVector key = FloatVector.fromArray(FLOATS, keys, i * PAGE + group * WIDTH);
                sumA = key.fma(FloatVector.broadcast(FLOATS, queries[a + i]), sumA);
                sumB = key.fma(FloatVector.broadcast(FLOATS, queries[b + i]), sumB);
                sumC = key.fma(FloatVector.broadcast(FLOATS, queries[c + i]), sumC);
                sumD = key.fma(FloatVector.broadcast(FLOATS, queries[d + i]), sumD);
            }
            sumA.intoArray(scores, toA + group * WIDTH);
            sumB.intoArray(scores, toB + group * WIDTH);
            sumC.intoArray(scores, toC + group * WIDTH);
            sumD.intoArray(scores, toD + group * WIDTH);
        }
    }

    /** Turns a query's products into their exponentials; 0 where it sees nothing. Returns their sum, the sink's included. */
    private float softmax(AttentionBlock block, int i, int start, int at, int stride) {
        Op.Scores rule = block.rule();
        int from = block.first(i) - start;
        int to = block.end(i) - start;
        if (rule.softCap() == 0) {
            scale(scores, at, stride, rule.scale());
        } else {
            for (int p = at + from; p < at + to; p++) {
                scores[p] = ScalarOperations.score(scores[p], rule);
            }
        }
        Arrays.fill(scores, at, at + from, Float.NEGATIVE_INFINITY);
        Arrays.fill(scores, at + to, at + stride, Float.NEGATIVE_INFINITY);
        float max = max(scores, at, stride);
        float[] sinks = rule.sinks();
        int head = block.head(i);
        if (sinks != null) {
            max = Math.max(max, sinks[head]);
        }
        for (int group = 0; group < GROUPS; group++) {
            exponentials(scores, at + group * WIDTH, at + stride, max, lanes, group * WIDTH);
        }
        float sum = SumOrder.tree(lanes, 0);
        return sinks == null ? sum : sum + Exponential.exp(sinks[head] - max);
    }

    private static void scale(float[] scores, int at, int count, float scale) {
        for (int i = at; i < at + count; i += WIDTH) {
            FloatVector.fromArray(FLOATS, scores, i).mul(scale).intoArray(scores, i);
        }
    }

    private static float max(float[] scores, int at, int count) {
        FloatVector max = FloatVector.broadcast(FLOATS, Float.NEGATIVE_INFINITY);
        for (int i = at; i < at + count; i += WIDTH) {
            max = max.max(FloatVector.fromArray(FLOATS, scores, i));
        }
        return max.reduceLanes(VectorOperators.MAX);
    }

    private static void exponentials(float[] scores, int from, int end, float max, float[] lanes, int lane) {
        FloatVector sum = FloatVector.zero(FLOATS);
        for (int i = from; i < end; i += SumOrder.LANES) {
            FloatVector power = VectorExponential.exp(
                    FloatVector.fromArray(FLOATS, scores, i).sub(max));
            power.intoArray(scores, i);
            sum = sum.add(power);
        }
        sum.intoArray(lanes, lane);
    }

    /** out += scores of the page's positions from..to-1 times their values, in that order. */
    private static void addValues(
            float[] values, int size, int from, int to, float[] scores, int score, float[] out, int at) {
        int c = 0;
        for (; c + 4 * WIDTH <= size; c += 4 * WIDTH) {
            FloatVector a = FloatVector.fromArray(FLOATS, out, at + c);
            FloatVector b = FloatVector.fromArray(FLOATS, out, at + c + WIDTH);
            FloatVector d = FloatVector.fromArray(FLOATS, out, at + c + 2 * WIDTH);
            FloatVector e = FloatVector.fromArray(FLOATS, out, at + c + 3 * WIDTH);
            for (int p = from; p < to; p++) {
                FloatVector share = FloatVector.broadcast(FLOATS, scores[score + p]);
                int value = p * size + c;
                a = FloatVector.fromArray(FLOATS, values, value).fma(share, a);
                b = FloatVector.fromArray(FLOATS, values, value + WIDTH).fma(share, b);
                d = FloatVector.fromArray(FLOATS, values, value + 2 * WIDTH).fma(share, d);
                e = FloatVector.fromArray(FLOATS, values, value + 3 * WIDTH).fma(share, e);
            }
            a.intoArray(out, at + c);
            b.intoArray(out, at + c + WIDTH);
            d.intoArray(out, at + c + 2 * WIDTH);
            e.intoArray(out, at + c + 3 * WIDTH);
        }
        for (; c + WIDTH <= size; c += WIDTH) {
            FloatVector sum = FloatVector.fromArray(FLOATS, out, at + c);
            for (int p = from; p < to; p++) {
                sum = FloatVector.fromArray(FLOATS, values, p * size + c)
                        .fma(FloatVector.broadcast(FLOATS, scores[score + p]), sum);
            }
            sum.intoArray(out, at + c);
        }
        for (; c < size; c++) {
            for (int p = from; p < to; p++) {
                out[at + c] = Math.fma(scores[score + p], values[p * size + c], out[at + c]);
            }
        }
    }

    private void loadKeys(HostSequence sequence, int layer, int kvHead, int position) {
        MemorySegment from = sequence.page(position);
        long at = sequence.keysOffset(layer, kvHead);
        int size = sequence.shape().headSize();
        switch (sequence.shape().type()) {
            case F32 -> MemorySegment.copy(from, ValueLayout.JAVA_FLOAT, at, page, 0, PAGE * size);
            case F16 -> halves(from, at, page, PAGE * size);
            case Q8_0 -> {
                for (int c = 0; c < size; c += BLOCK) {
                    keyBlock(from, at + (long) c * PAGE + (long) c / BLOCK * PAGE * Short.BYTES, page, c * PAGE);
                }
            }
        }
    }

    private void loadValues(HostSequence sequence, int layer, int kvHead, int position) {
        MemorySegment from = sequence.page(position);
        long at = sequence.valuesOffset(layer, kvHead);
        int size = sequence.shape().headSize();
        switch (sequence.shape().type()) {
            case F32 -> MemorySegment.copy(from, ValueLayout.JAVA_FLOAT, at, page, 0, PAGE * size);
            case F16 -> halves(from, at, page, PAGE * size);
            case Q8_0 -> valueBlocks(from, at, page, PAGE * size);
        }
    }

    private static void halves(MemorySegment from, long at, float[] to, int count) {
        for (int i = 0; i < count; i += WIDTH) {
            Lanes.halves(from, at + (long) i * Short.BYTES).intoArray(to, i);
        }
    }

    /** 16 scales, then 32 times 16 levels. */
    private static void keyBlock(MemorySegment from, long at, float[] to, int start) {
        for (int group = 0; group < GROUPS; group++) {
            FloatVector scale = Lanes.halves(from, at + (long) group * WIDTH * Short.BYTES);
            for (int c = 0; c < BLOCK; c++) {
                Lanes.signedBytes(from, at + (long) PAGE * Short.BYTES + (long) c * PAGE, group)
                        .mul(scale)
                        .intoArray(to, start + c * PAGE + group * WIDTH);
            }
        }
    }

    /** Scale and 32 levels, again and again. */
    private static void valueBlocks(MemorySegment from, long at, float[] to, int count) {
        for (int i = 0; i < count; i += SumOrder.LANES) {
            long block = at + (long) (i / BLOCK) * (Short.BYTES + BLOCK);
            float scale = Lanes.half(from, block);
            for (int group = 0; group < GROUPS; group++) {
                Lanes.signedBytes(from, block + Short.BYTES + i % BLOCK, group)
                        .mul(scale)
                        .intoArray(to, i + group * WIDTH);
            }
        }
    }
}

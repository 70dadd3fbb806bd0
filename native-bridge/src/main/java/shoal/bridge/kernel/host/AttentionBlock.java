package shoal.bridge.kernel.host;

import shoal.bridge.kernel.Op;

/**
 * Some consecutive tokens of one sequence, and the query heads that read one KV head: each token and head is a query of its own.
 * Query (row, head) is queries[start + row * stride + head * headSize ..], and so is its result in out.
 *
 * @param firstPosition of the first row; all up to the last row's are stored
 * @param firstHead the first query head, to find sinks
 * @param rule how a product of query and key becomes a score, and which positions a query sees
 */
public record AttentionBlock(
        HostSequence sequence,
        int layer,
        int kvHead,
        int firstPosition,
        int rows,
        int firstHead,
        int heads,
        float[] queries,
        int start,
        int stride,
        Op.Scores rule,
        float[] out) {

    /** Its rows from..to-1 as a block of their own. */
    public AttentionBlock part(int from, int to) {
        return new AttentionBlock(
                sequence,
                layer,
                kvHead,
                firstPosition + from,
                to - from,
                firstHead,
                heads,
                queries,
                start + from * stride,
                stride,
                rule,
                out);
    }

    /** Queries in it, row after row. */
    public int count() {
        return rows * heads;
    }

    /** Where query i begins. */
    public int offset(int i) {
        return start + i / heads * stride + i % heads * sequence.shape().headSize();
    }

    /** The first position that query i sees. */
    public int first(int i) {
        return rule.first(firstPosition + i / heads);
    }

    /** The position after the last that query i sees. */
    public int end(int i) {
        return firstPosition + i / heads + 1;
    }

    /** Query i's head. */
    public int head(int i) {
        return firstHead + i % heads;
    }
}

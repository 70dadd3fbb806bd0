package shoal.bridge.kernel;

import java.util.ArrayList;
import java.util.List;

/**
 * All that a stage computes per batch, as data: a provider gets it once and may turn it into one launch graph.
 *
 * @param slots by their index
 * @param input where a later stage's activations come in; a first stage begins with {@link Op.Embed} instead
 * @param output what a stage hands on, or a last stage's logits
 * @param body over all tokens of the batch
 * @param head over the rows whose logits are wanted, beginning with {@link Op.SelectRows}; empty but for a last stage
 */
public record StageProgram(List<Slot> slots, Slot input, Slot output, List<Op> body, List<Op> head, CacheShape cache) {
    public static final int MAX_SLOTS = 256;

    public StageProgram {
        slots = List.copyOf(slots);
        body = List.copyOf(body);
        head = List.copyOf(head);
        if (!head.isEmpty() && !(head.getFirst() instanceof Op.SelectRows)) {
            throw new IllegalArgumentException("a head begins with SelectRows, this one with " + head.getFirst());
        }
    }

    /** The same with keys and values kept in that type. @throws IllegalArgumentException if heads do not fit it */
    public StageProgram withCacheType(CacheType type) {
        return new StageProgram(slots, input, output, body, head, cache.withType(type));
    }

    /** Whether batches bring token ids; activations otherwise. */
    public boolean readsTokens() {
        return !body.isEmpty() && body.getFirst() instanceof Op.Embed;
    }

    public boolean givesLogits() {
        return !head.isEmpty();
    }

    /** F32 values that one token of a batch takes in all slots together. */
    public long valuesPerToken() {
        long sum = 0;
        for (Slot slot : slots) {
            sum += slot.width();
        }
        return sum;
    }

    /** Collects a program. */
    public static final class Builder {
        private final List<Slot> slots = new ArrayList<>();
        private final List<Op> body = new ArrayList<>();
        private final List<Op> head = new ArrayList<>();

        /** A new buffer. */
        public Slot slot(String name, int width) {
            Slot slot = new Slot(slots.size(), name, width);
            slots.add(slot);
            return slot;
        }

        public Builder add(Op op) {
            body.add(op);
            return this;
        }

        public Builder addHead(Op op) {
            head.add(op);
            return this;
        }

        public StageProgram build(Slot input, Slot output, CacheShape cache) {
            return new StageProgram(slots, input, output, body, head, cache);
        }
    }
}

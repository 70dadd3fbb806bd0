package shoal.codec.pipeline;

import java.util.ArrayDeque;
import java.util.HashMap;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Sequences that wait to be let in. The user who has the fewest running comes next; among equals, who waited longest for a turn. What was
 * put back comes before all.
 */
final class FairQueue {
    private final ArrayDeque<Sequence> again = new ArrayDeque<>();
    private final Map<String, ArrayDeque<Sequence>> byUser = new LinkedHashMap<>();
    private final Map<String, Integer> running = new HashMap<>();
    private int size;

    int size() {
        return size;
    }

    void add(Sequence sequence) {
        byUser.computeIfAbsent(sequence.request.user(), _ -> new ArrayDeque<>()).addLast(sequence);
        size++;
    }

    /** It was running and is to be first again. */
    void putBack(Sequence sequence) {
        running.merge(sequence.request.user(), -1, FairQueue::sum);
        again.addFirst(sequence);
        size++;
    }

    /** Who comes next, or null. */
    @Nullable Sequence peek() {
        if (!again.isEmpty()) {
            return again.peekFirst();
        }
        ArrayDeque<Sequence> best = null;
        int fewest = Integer.MAX_VALUE;
        for (Map.Entry<String, ArrayDeque<Sequence>> user : byUser.entrySet()) {
            int has = running.getOrDefault(user.getKey(), 0);
            if (has < fewest) {
                fewest = has;
                best = user.getValue();
            }
        }
        return best == null ? null : best.peekFirst();
    }

    /** Takes out who comes next. */
    void begin(Sequence sequence) {
        remove(sequence);
        String user = sequence.request.user();
        running.merge(user, 1, FairQueue::sum);
        ArrayDeque<Sequence> others = byUser.remove(user);
        if (others != null) {
            byUser.put(user, others); // behind the users who have as many
        }
    }

    /** One that was running is over. */
    void ended(Sequence sequence) {
        running.merge(sequence.request.user(), -1, FairQueue::sum);
    }

    void remove(Sequence sequence) {
        if (again.remove(sequence)) {
            size--;
            return;
        }
        ArrayDeque<Sequence> own = byUser.get(sequence.request.user());
        if (own != null && own.remove(sequence)) {
            size--;
            if (own.isEmpty()) {
                byUser.remove(sequence.request.user());
            }
        }
    }

    /** Takes out any. */
    @Nullable Sequence pollAny() {
        Sequence first = again.peekFirst();
        if (first == null) {
            Iterator<ArrayDeque<Sequence>> users = byUser.values().iterator();
            first = users.hasNext() ? users.next().peekFirst() : null;
        }
        if (first != null) {
            remove(first);
        }
        return first;
    }

    private static @Nullable Integer sum(Integer one, Integer other) {
        int sum = one + other;
        return sum == 0 ? null : sum;
    }
}

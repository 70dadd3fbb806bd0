package shoal.codec.pipeline;

import java.util.HashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Which sequence begins with which tokens: by a chain of hashes over blocks of as many tokens as a page has. A hash only finds; the
 * tokens themselves are compared.
 */
final class PrefixIndex {
    private static final long PRIME = 0x9e3779b97f4a7c15L;

    private final Map<Long, Sequence> byChain = new HashMap<>();

    /** A sequence, and how many of its first positions can be had from it. */
    record Match(Sequence parent, int positions) {}

    /** Notes the whole blocks that are computed by now. */
    void note(Sequence sequence) {
        int blocks = sequence.computed / PagePool.PAGE_POSITIONS;
        while (sequence.indexed.size() < blocks) {
            int block = sequence.indexed.size();
            long chain = chain(block == 0 ? 0 : sequence.indexed.getLast(), sequence, block);
            sequence.indexed.add(chain);
            byChain.putIfAbsent(chain, sequence);
        }
    }

    /** Nobody can begin as a copy of it any more. */
    void forget(Sequence sequence) {
        for (long chain : sequence.indexed) {
            byChain.remove(chain, sequence);
        }
        sequence.indexed.clear();
    }

    /** The longest common beginning in whole blocks that leaves at least one token to compute. */
    @Nullable Match find(Sequence wanted) {
        Match best = null;
        long chain = 0;
        for (int block = 0; (block + 1) * PagePool.PAGE_POSITIONS < wanted.size(); block++) {
            chain = chain(chain, wanted, block);
            Sequence holder = byChain.get(chain);
            if (holder == null || holder == wanted) {
                break;
            }
            int positions = (block + 1) * PagePool.PAGE_POSITIONS;
            if (holder.computed >= positions && !holder.putBack && isEqual(holder, wanted, positions)) {
                best = new Match(holder, positions);
            }
        }
        return best;
    }

    private static boolean isEqual(Sequence one, Sequence other, int positions) {
        for (int i = 0; i < positions; i++) {
            if (one.token(i) != other.token(i)) {
                return false;
            }
        }
        return true;
    }

    private static long chain(long before, Sequence sequence, int block) {
        long hash = before ^ PRIME;
        int from = block * PagePool.PAGE_POSITIONS;
        for (int i = from; i < from + PagePool.PAGE_POSITIONS; i++) {
            hash = (hash ^ sequence.token(i)) * PRIME;
            hash ^= hash >>> 29;
        }
        return hash;
    }
}

package shoal.bridge.model.text.grammar;

import java.util.Arrays;
import java.util.Collections;
import java.util.Map;
import java.util.WeakHashMap;
import java.util.stream.IntStream;
import shoal.bridge.model.text.Tokenizer;

/**
 * The tokens of a vocabulary that stand for bytes, sorted by them, each with how many it begins with in common with the one before:
 * a trie, walked in one pass. Immutable.
 */
final class TokenOrder {
    private static final Map<Tokenizer, TokenOrder> KNOWN = Collections.synchronizedMap(new WeakHashMap<>());

    final int[] ids;
    final byte[][] bytes;
    final int[] common;
    final int longest;

    private TokenOrder(Tokenizer tokenizer) {
        byte[][] all = new byte[tokenizer.size()][];
        for (int id = 0; id < all.length; id++) {
            all[id] = tokenizer.endOfGeneration().contains(id) ? new byte[0] : tokenizer.bytes(id, false);
        }
        ids = IntStream.range(0, all.length)
                .filter(id -> all[id].length > 0)
                .boxed()
                .sorted((a, b) -> Arrays.compareUnsigned(all[a], all[b]))
                .mapToInt(Integer::intValue)
                .toArray();
        bytes = new byte[ids.length][];
        common = new int[ids.length];
        int most = 0;
        for (int i = 0; i < ids.length; i++) {
            bytes[i] = all[ids[i]];
            most = Math.max(most, bytes[i].length);
            if (i > 0) {
                int mismatch = Arrays.mismatch(bytes[i - 1], bytes[i]);
                common[i] = mismatch < 0 ? bytes[i].length : mismatch;
            }
        }
        longest = most;
    }

    /** Made once for a tokenizer. */
    static TokenOrder of(Tokenizer tokenizer) {
        return KNOWN.computeIfAbsent(tokenizer, TokenOrder::new);
    }
}

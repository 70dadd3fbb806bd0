package shoal.bridge.model.sampling;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import shoal.bridge.model.text.Tokenizer;
import shoal.codec.wire.Sampling;

/**
 * "Don't repeat yourself": a token that would go on with a repetition of what stands in the history becomes less likely, the more the
 * longer the repetition is. As llama.cpp's sampler "dry". Immutable.
 */
final class DryPenalty {
    /** log of the largest float: the penalty stays a number. */
    private static final double MAX_LOG = 88.7228391;

    private static final int MAX_TAIL = 20;

    private final Sampling.Dry settings;

    /** By the token that a breaker may begin in: the tokens that must follow it for the breaker to be whole. */
    private final Map<Integer, List<int[]>> breakers = new HashMap<>();

    DryPenalty(Sampling.Dry settings, Tokenizer tokenizer) {
        this.settings = settings;
        for (String breaker : settings.breakers()) {
            byte[] sought = breaker.getBytes(StandardCharsets.UTF_8);
            for (int token = 0; token < tokenizer.size(); token++) {
                find(sought, token, tokenizer);
            }
        }
    }

    private void find(byte[] sought, int token, Tokenizer tokenizer) {
        byte[] text = tokenizer.bytes(token, true);
        for (int from = 0; from < text.length; from++) {
            int same = 0;
            while (same < sought.length && from + same < text.length && text[from + same] == sought[same]) {
                same++;
            }
            if (same == sought.length) {
                breakers.put(token, List.of(new int[0]));
                return;
            }
            if (from + same == text.length) {
                var rest = new String(sought, same, sought.length - same, StandardCharsets.UTF_8);
                int[] tail = tokenizer.encode(rest, false, false);
                List<int[]> tails = breakers.computeIfAbsent(token, _ -> new ArrayList<>());
                tails.add(tail.length <= MAX_TAIL ? tail : java.util.Arrays.copyOf(tail, MAX_TAIL));
            }
        }
    }

    void apply(float[] logits, TokenHistory history) {
        int reach = settings.lastN() < 0 ? history.size() : Math.min(settings.lastN(), history.size());
        int allowed = settings.allowedLength();
        if (reach <= allowed) {
            return;
        }
        int longest = longestRepetition(history, reach);
        if (longest < allowed) {
            return;
        }
        double maxExponent = settings.base() > 1.000001f ? MAX_LOG / StrictMath.log(settings.base()) : 0;
        longestBehind(history, reach, longest).forEach((token, length) -> {
            if (token >= 0 && token < logits.length) {
                double exponent = length - allowed;
                if (maxExponent > 0 && exponent > maxExponent) {
                    exponent = maxExponent;
                }
                logits[token] -= (float) (settings.multiplier() * StrictMath.pow(settings.base(), exponent));
            }
        });
    }

    /** How many of the last tokens lie behind the last breaker. */
    private int longestRepetition(TokenHistory history, int reach) {
        int last = history.size() - 1;
        for (int back = 0; back < reach; back++) {
            List<int[]> tails = breakers.get(history.get(last - back));
            if (tails == null) {
                continue;
            }
            int whole = -1;
            for (int[] tail : tails) {
                boolean matches = tail.length > whole && tail.length <= back;
                for (int i = 0; matches && i < tail.length; i++) {
                    matches = tail[i] == history.get(last - back + 1 + i);
                }
                if (matches) {
                    whole = tail.length;
                }
            }
            if (whole >= 0) {
                return back - whole;
            }
        }
        return reach;
    }

    /**
     * For each token that followed an earlier occurrence of the end of the history: the length of the longest such occurrence, if at
     * least the allowed one. With the Z function of the reversed history: linear in its length.
     */
    private Map<Integer, Integer> longestBehind(TokenHistory history, int reach, int longest) {
        int last = history.size() - 1;
        int[] z = new int[reach];
        int left = 0;
        int right = 0; // [left, right) equals the beginning
        for (int k = 1; k < reach; k++) {
            int length = k < right ? Math.min(z[k - left], right - k) : 0;
            while (k + length < reach && history.get(last - length) == history.get(last - k - length)) {
                length++;
            }
            z[k] = length;
            if (k + length > right) {
                left = k;
                right = k + length;
            }
        }
        Map<Integer, Integer> result = new HashMap<>();
        for (int k = 1; k < reach; k++) {
            int length = Math.min(z[k], longest);
            if (length >= settings.allowedLength()) {
                result.merge(history.get(last - k + 1), length, Math::max);
            }
        }
        return result;
    }
}

package shoal.bridge.model.text.grammar;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/** A set of Unicode scalar values, as ranges that rise and don't touch. Surrogates are none. */
record CodePoints(List<Range> ranges) {
    static final int MAX = 0x10FFFF;

    /** First and last, both in it. */
    record Range(int first, int last) {}

    static final CodePoints ALL = of(List.of(new Range(0, MAX)));

    static CodePoints of(int codePoint) {
        return of(List.of(new Range(codePoint, codePoint)));
    }

    /** In any order, overlapping or not. */
    static CodePoints of(List<Range> given) {
        List<Range> cut = new ArrayList<>();
        for (Range range : given) { // UTF-8 has no surrogates
            if (range.first < 0xD800) {
                cut.add(new Range(range.first, Math.min(range.last, 0xD7FF)));
            }
            if (range.last > 0xDFFF) {
                cut.add(new Range(Math.max(range.first, 0xE000), Math.min(range.last, MAX)));
            }
        }
        cut.sort(Comparator.comparingInt(Range::first));
        List<Range> merged = new ArrayList<>();
        for (Range range : cut) {
            Range before = merged.isEmpty() ? null : merged.getLast();
            if (before != null && range.first <= before.last + 1) {
                merged.set(merged.size() - 1, new Range(before.first, Math.max(before.last, range.last)));
            } else {
                merged.add(range);
            }
        }
        return new CodePoints(List.copyOf(merged));
    }

    CodePoints complement() {
        List<Range> rest = new ArrayList<>();
        int from = 0;
        for (Range range : ranges) {
            if (range.first > from) {
                rest.add(new Range(from, range.first - 1));
            }
            from = range.last + 1;
        }
        if (from <= MAX) {
            rest.add(new Range(from, MAX));
        }
        return of(rest);
    }

    CodePoints and(CodePoints other) {
        List<Range> both = new ArrayList<>();
        for (Range a : ranges) {
            for (Range b : other.ranges) {
                int first = Math.max(a.first, b.first);
                int last = Math.min(a.last, b.last);
                if (first <= last) {
                    both.add(new Range(first, last));
                }
            }
        }
        return of(both);
    }

    boolean contains(int codePoint) {
        return ranges.stream().anyMatch(range -> range.first <= codePoint && codePoint <= range.last);
    }

    /** As UTF-8: each entry is a sequence of byte ranges, and together they are the characters of this set (RFC 3629, section 4). */
    List<List<Range>> utf8() {
        List<List<Range>> sequences = new ArrayList<>();
        for (Range range : ranges) {
            for (int[] lengths : new int[][] {{0, 0x7F}, {0x80, 0x7FF}, {0x800, 0xFFFF}, {0x10000, MAX}}) {
                int first = Math.max(range.first, lengths[0]);
                int last = Math.min(range.last, lengths[1]);
                if (first <= last) {
                    split(first, last, sequences);
                }
            }
        }
        return sequences;
    }

    /** Both of the same length in UTF-8. Cut until all bytes but one prefix run over their whole ranges. */
    private static void split(int first, int last, List<List<Range>> out) {
        int bytes = first < 0x80 ? 1 : first < 0x800 ? 2 : first < 0x10000 ? 3 : 4;
        for (int i = 1; i < bytes; i++) {
            int mask = (1 << 6 * i) - 1;
            if ((first & ~mask) != (last & ~mask)) {
                if ((first & mask) != 0) {
                    split(first, first | mask, out);
                    split((first | mask) + 1, last, out);
                    return;
                }
                if ((last & mask) != mask) {
                    split(first, (last & ~mask) - 1, out);
                    split(last & ~mask, last, out);
                    return;
                }
            }
        }
        byte[] low = new String(Character.toChars(first)).getBytes(java.nio.charset.StandardCharsets.UTF_8);
        byte[] high = new String(Character.toChars(last)).getBytes(java.nio.charset.StandardCharsets.UTF_8);
        List<Range> sequence = new ArrayList<>();
        for (int i = 0; i < bytes; i++) {
            sequence.add(new Range(low[i] & 0xFF, high[i] & 0xFF));
        }
        out.add(sequence);
    }
}

package shoal.verticles.fileserver;

import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/** Which bytes of a file an HTTP request asks for (RFC 9110, section 14.1.2). */
sealed interface ByteRequest {
    Pattern SINGLE = Pattern.compile("bytes=\\s*(\\d{0,18})\\s*-\\s*(\\d{0,18})\\s*");

    /** All of it: no range was asked for, or something that a server may pass over, such as several ranges. */
    record Whole() implements ByteRequest {}

    /** Bytes first..last, both included and there. */
    record Part(long first, long last) implements ByteRequest {}

    /** None of the bytes asked for are there. */
    record Nothing() implements ByteRequest {}

    /** @param size of the file, at least 1 */
    static ByteRequest parse(@Nullable String header, long size) {
        Matcher range = SINGLE.matcher(header == null ? "" : header);
        if (!range.matches()) {
            return new Whole();
        }
        String first = range.group(1);
        String last = range.group(2);
        if (first.isEmpty() && last.isEmpty()) {
            return new Whole();
        }
        if (first.isEmpty()) { // the last bytes
            long count = Math.min(Long.parseLong(last), size);
            return count == 0 ? new Nothing() : new Part(size - count, size - 1);
        }
        long from = Long.parseLong(first);
        long to = last.isEmpty() ? size - 1 : Math.min(Long.parseLong(last), size - 1);
        if (!last.isEmpty() && Long.parseLong(last) < from) {
            return new Whole();
        }
        return from >= size ? new Nothing() : new Part(from, to);
    }
}

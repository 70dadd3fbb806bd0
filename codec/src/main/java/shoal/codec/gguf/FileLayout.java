package shoal.codec.gguf;

import java.util.ArrayList;
import java.util.List;

/**
 * A GGUF file that somebody with files can write in one pass, from front to back: the header, then the ranges. What lies
 * between two ranges, or behind the last, is padding: zero bytes.
 *
 * @param header from byte 0; not a copy, read only
 * @param ranges by target offset, none overlapping, none in the header
 * @param size of the whole new file in bytes
 */
public record FileLayout(byte[] header, List<CopyRange> ranges, long size) {
    public FileLayout {
        ranges = List.copyOf(ranges);
        long end = header.length;
        for (CopyRange range : ranges) {
            if (range.targetOffset() < end) {
                throw new IllegalArgumentException("range " + range + " begins before byte " + end);
            }
            end = range.targetEnd();
        }
        if (end > size) {
            throw new IllegalArgumentException("size is " + size + ", the last range ends at " + end);
        }
    }

    /** Where a tensor's bytes come from. */
    record Source(int file, long offset) {}

    /** Places each tensor of the new file; sources in the same order. Neighbours that stay neighbours become one range. */
    static FileLayout of(GgufWriter.Written written, List<Source> sources, long size) {
        Gguf gguf = written.gguf();
        var ranges = new ArrayList<CopyRange>();
        for (int i = 0; i < sources.size(); i++) {
            TensorInfo tensor = gguf.tensors().get(i);
            Source source = sources.get(i);
            ranges.add(new CopyRange(source.file(), source.offset(), tensor.sizeBytes(), gguf.fileOffset(tensor)));
        }
        return new FileLayout(written.header(), merged(ranges), size);
    }

    private static List<CopyRange> merged(List<CopyRange> ranges) {
        var merged = new ArrayList<CopyRange>();
        for (CopyRange range : ranges) {
            CopyRange before = merged.isEmpty() ? null : merged.getLast();
            if (before != null
                    && before.sourceFile() == range.sourceFile()
                    && before.targetEnd() == range.targetOffset()
                    && before.sourceOffset() + before.size() == range.sourceOffset()) {
                merged.removeLast();
                range = new CopyRange(
                        before.sourceFile(),
                        before.sourceOffset(),
                        before.size() + range.size(),
                        before.targetOffset());
            }
            merged.add(range);
        }
        return merged;
    }
}

package shoal.bridge.library;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.nio.file.Path;
import java.util.BitSet;
import org.jspecify.annotations.Nullable;

/**
 * Has bytes of a mapped file that lie in memory in small pages come there again in {@linkplain LargePages large ones}: a file that was
 * fetched in pieces, above all. The pages of a block are let go of and read from the file once more, 2 MiB and some milliseconds at a
 * time; whoever reads them meanwhile waits for the disk, and reads the same. What is not on the disk yet, or is mapped by others too,
 * stays as it is. Linux alone; where it brings nothing, it stops after a few blocks.
 *
 * <p>Not safe for several threads. Close before the mapping.
 */
public final class PageSettling implements AutoCloseable {
    /** MADV_DONTNEED and MADV_POPULATE_READ of madvise(2), POSIX_FADV_DONTNEED of posix_fadvise(2). */
    private static final int LET_GO = 4;

    private static final int BRING = 22;
    private static final int DROP = 4;

    private static final int READ_ONLY = 0;

    /** After so many blocks something must have been gained. */
    private static final int TRIAL = 8;

    private static final double NEARLY_ALL = 0.9;

    /** What had not been written to the disk yet, or was mapped by others, may be later. */
    private static final int PASSES = 5;

    private static final long BETWEEN_PASSES_NANOS = 3_000_000_000L;

    /** A disk that takes so long for so many blocks in a row is slow, or has other things to do. */
    private static final long SLOW_NANOS = 30_000_000;

    private static final int TOO_SLOW = 4;

    private final @Nullable Opened file;
    private final MemorySegment mapped;
    private final int[] blocks;
    private int next;
    private int passes;
    private int slow;
    private long seenBefore;
    private long resumeNanos;
    private boolean done;

    /**
     * @param file may be moved from then on
     * @param mapped the whole of the file
     * @param blocks which of its 2 MiB are of use; the last one does not count if it is not whole
     */
    public PageSettling(Path file, MemorySegment mapped, BitSet blocks) {
        this.mapped = mapped;
        int whole = (int) (mapped.byteSize() / LargePages.BYTES);
        this.blocks = blocks.stream().filter(block -> block < whole).toArray();
        boolean possible = this.blocks.length > 0 && "Linux".equals(System.getProperty("os.name"));
        this.file = possible ? new Opened(file) : null;
        done = this.file == null || !this.file.isOpen();
        resumeNanos = System.nanoTime();
    }

    /** Whether a step would do something now. */
    public boolean isDue(long nowNanos) {
        return !done && nowNanos - resumeNanos >= 0;
    }

    /** Goes on for so many nanoseconds, and at most a block's time more. */
    public void step(long budgetNanos) {
        long now = System.nanoTime();
        Opened open = file;
        if (open == null || !isDue(now)) {
            return;
        }
        if (next == 0) {
            seenBefore = LargePages.seen(mapped);
            done = seenBefore >= NEARLY_ALL * blocks.length * LargePages.BYTES;
        }
        long until = now + budgetNanos;
        while (!done && next < blocks.length && now - until < 0) {
            renew(open, (long) blocks[next++] * LargePages.BYTES);
            long after = System.nanoTime();
            slow = after - now > SLOW_NANOS ? slow + 1 : 0;
            done = slow == TOO_SLOW;
            now = after;
            if (next == TRIAL && LargePages.seen(mapped) <= seenBefore) {
                next = blocks.length;
            }
        }
        if (next == blocks.length) {
            next = 0;
            done |= ++passes == PASSES;
            resumeNanos = now + BETWEEN_PASSES_NANOS;
        }
    }

    private void renew(Opened open, long offset) {
        MemorySegment block = mapped.asSlice(offset, LargePages.BYTES);
        if (LargePages.advise(block, LET_GO)) {
            open.letGo(offset, LargePages.BYTES);
            LargePages.advise(block, BRING);
        }
    }

    @Override
    public void close() {
        done = true;
        if (file != null) {
            file.close();
        }
    }

    /** A file as the C library knows it; on Linux alone. */
    private static final class Opened implements AutoCloseable {
        private static final MethodHandle OPEN = c("open", ValueLayout.ADDRESS, ValueLayout.JAVA_INT);
        private static final MethodHandle CLOSE = c("close", ValueLayout.JAVA_INT);
        private static final MethodHandle ADVISE = c(
                "posix_fadvise",
                ValueLayout.JAVA_INT,
                ValueLayout.JAVA_LONG,
                ValueLayout.JAVA_LONG,
                ValueLayout.JAVA_INT);

        private int descriptor;

        Opened(Path file) {
            try (Arena arena = Arena.ofConfined()) {
                descriptor = (int) OPEN.invokeExact(arena.allocateFrom(file.toString()), READ_ONLY);
            } catch (Throwable failure) {
                throw new IllegalStateException("open can't be called", failure);
            }
        }

        private static MethodHandle c(String name, MemoryLayout... arguments) {
            Linker linker = Linker.nativeLinker();
            return linker.downcallHandle(
                    linker.defaultLookup().findOrThrow(name), FunctionDescriptor.of(ValueLayout.JAVA_INT, arguments));
        }

        boolean isOpen() {
            return descriptor >= 0;
        }

        void letGo(long offset, long size) {
            try {
                int _ = (int) ADVISE.invokeExact(descriptor, offset, size, DROP);
            } catch (Throwable failure) {
                throw new IllegalStateException("posix_fadvise can't be called", failure);
            }
        }

        @Override
        public void close() {
            try {
                int open = descriptor;
                descriptor = -1; // the system may give the same number to another file now
                int _ = open < 0 ? -1 : (int) CLOSE.invokeExact(open);
            } catch (Throwable failure) {
                throw new IllegalStateException("close can't be called", failure);
            }
        }
    }
}

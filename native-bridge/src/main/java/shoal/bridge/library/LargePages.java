package shoal.bridge.library;

import java.io.IOException;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * Mapped files in pages of 2 MiB, on Linux. A processor that reads through a gigabyte of weights for each token looks up 512 times
 * fewer addresses then, and reads ahead across what used to be the ends of pages.
 *
 * <p>The system decides per file when its bytes first come to memory: in large pages where the file system can (ext4 since Linux
 * 6.16, XFS, Btrfs) and somebody asked before, or where they were written 2 MiB at a time. What came in small pages stays in them,
 * unless {@link PageSettling} has it come again.
 * Mappings of such files begin at a multiple of 2 MiB by themselves since Linux 5.18. Everywhere else all this changes nothing.
 */
public final class LargePages {
    /** Of a large page on x86-64, and on ARM with small pages of 4 KiB. */
    public static final int BYTES = 2 << 20;

    /** MADV_HUGEPAGE of madvise(2). */
    private static final int HUGE = 14;

    private static final Optional<MethodHandle> ADVISE = Optional.of(System.getProperty("os.name", ""))
            .filter("Linux"::equals)
            .flatMap(_ -> Linker.nativeLinker().defaultLookup().find("madvise"))
            .map(address -> Linker.nativeLinker()
                    .downcallHandle(
                            address,
                            FunctionDescriptor.of(
                                    ValueLayout.JAVA_INT,
                                    ValueLayout.ADDRESS,
                                    ValueLayout.JAVA_LONG,
                                    ValueLayout.JAVA_INT)));

    private LargePages() {}

    /**
     * Asks that bytes of the file which are not in memory yet come in large pages. To be called before they are read.
     *
     * @param mapped a whole mapping of a file
     * @return whether the system took it as a wish; no promise
     */
    public static boolean ask(MemorySegment mapped) {
        return mapped.byteSize() >= BYTES && advise(mapped, HUGE);
    }

    /** As madvise(2). @return whether the system took it */
    static boolean advise(MemorySegment mapped, int advice) {
        if (ADVISE.isEmpty()) {
            return false;
        }
        try {
            return (int) ADVISE.get().invokeExact(mapped, mapped.byteSize(), advice) == 0;
        } catch (Throwable failure) {
            throw new IllegalStateException("madvise can't be called", failure);
        }
    }

    /** How many bytes of a mapping this process has seen in large pages until now; 0 where the system does not tell. */
    public static long seen(MemorySegment mapped) {
        try (Stream<String> lines = Files.lines(Path.of("/proc/self/smaps"))) {
            return seen(lines, mapped.address(), mapped.byteSize());
        } catch (IOException notLinux) {
            return 0;
        }
    }

    /** @param lines of smaps; the part of a mapping that begins in the range counts */
    static long seen(Stream<String> lines, long address, long size) {
        long bytes = 0;
        boolean inside = false;
        for (String line : (Iterable<String>) lines::iterator) {
            int dash = line.indexOf('-');
            int colon = line.indexOf(':');
            if (dash > 0 && (colon < 0 || dash < colon)) { // 7f0ff7600000-7f1003e00000 r--s 00000000 fe:00 123 /file
                long start = Long.parseUnsignedLong(line.substring(0, dash), 16);
                inside = start >= address && start < address + size;
            } else if (inside && line.startsWith("FilePmdMapped:")) {
                bytes += Long.parseLong(line.toLowerCase(Locale.ROOT).replaceAll("[^0-9]", "")) << 10;
            }
        }
        return bytes;
    }
}

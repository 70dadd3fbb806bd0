package shoal.bridge.hash;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.Hash256;
import shoal.codec.metainfo.BlockHasher;
import shoal.codec.metainfo.Pieces;

/**
 * Who computes SHA-256 of blocks here. The native ways that this processor has are compared with the JDK's answers and timed once,
 * in a few milliseconds, and the fastest is taken. Without them the Vector API is taken where it is known to be faster than the JDK:
 * with 512-bit vectors, or with 256-bit ones where the processor has no instructions of its own for SHA-256.
 */
public final class BlockHashers {
    private static final int TRIAL_BLOCKS = 32;
    private static final int TRIALS = 5;
    private static final Path CPU_INFO = Path.of("/proc/cpuinfo");

    private BlockHashers() {}

    /**
     * The one that is used, and why, for a reader.
     *
     * @param reason what was measured, and why what might be faster is not used
     */
    public record Choice(BlockHasher hasher, String reason) {}

    private static final class Chosen {
        static final Choice CHOICE = choose(candidates());
    }

    /** Chosen once in this process; the first call takes some milliseconds. */
    public static Choice choice() {
        return Chosen.CHOICE;
    }

    public static BlockHasher best() {
        return choice().hasher();
    }

    /** Every provider that works here, the JDK's last: for measurements. */
    public static List<BlockHasher> all() {
        var all = new ArrayList<BlockHasher>();
        var candidates = candidates();
        all.addAll(candidates.natives);
        if (candidates.vector != null) {
            all.add(candidates.vector);
        }
        all.removeIf(hasher -> whyWrong(hasher) != null);
        all.add(BlockHasher.plain());
        return all;
    }

    /** @param notes why something is missing */
    record Candidates(List<BlockHasher> natives, @Nullable BlockHasher vector, boolean vectorIsFaster, String notes) {}

    private static Candidates candidates() {
        var notes = new ArrayList<String>();
        var natives = new ArrayList<BlockHasher>();
        NativeHashes library = Library.HASHES;
        if (library == null) {
            notes.add(Library.WHY);
        } else if (library.sha256Variants().isEmpty()) {
            notes.add("the native library knows no instructions of this processor");
        } else {
            library.sha256Variants().forEach(variant -> natives.add(new NativeBlockHasher(library, variant)));
        }
        boolean module = hasVectorModule();
        if (!module) {
            notes.add("the JVM was started without --add-modules jdk.incubator.vector");
        }
        int lanes = module ? VectorStart.lanes() : 0;
        BlockHasher vector = lanes >= 4 ? VectorStart.open() : null;
        boolean faster = lanes >= 16 || lanes == 8 && !hasShaInstructions();
        return new Candidates(natives, vector, faster, String.join("; ", notes));
    }

    static Choice choose(Candidates candidates) {
        var notes = new ArrayList<String>();
        ByteBuffer data = ByteBuffer.allocateDirect(TRIAL_BLOCKS * Pieces.BLOCK_SIZE);
        BlockHasher fastest = null;
        long best = Long.MAX_VALUE;
        for (BlockHasher hasher : candidates.natives) {
            String wrong = whyWrong(hasher);
            if (wrong != null) {
                notes.add(wrong);
                continue;
            }
            long nanos = time(hasher, data);
            notes.add(String.format(Locale.ROOT, "%s %.1f GB/s", hasher.name(), (double) data.capacity() / nanos));
            if (nanos < best) {
                best = nanos;
                fastest = hasher;
            }
        }
        if (fastest == null && candidates.vector != null && candidates.vectorIsFaster) {
            String wrong = whyWrong(candidates.vector);
            if (wrong == null) {
                fastest = candidates.vector;
            } else {
                notes.add(wrong);
            }
        }
        if (!candidates.notes.isEmpty()) {
            notes.add(candidates.notes);
        }
        return new Choice(fastest == null ? BlockHasher.plain() : fastest, String.join("; ", notes));
    }

    private static long time(BlockHasher hasher, ByteBuffer data) {
        var hashes = new byte[TRIAL_BLOCKS * Hash256.SIZE_BYTES];
        long best = Long.MAX_VALUE;
        for (int i = 0; i < TRIALS; i++) {
            long start = System.nanoTime();
            hasher.hash(data.duplicate(), hashes, 0);
            best = Math.min(best, System.nanoTime() - start);
        }
        return Math.max(1, best);
    }

    /** Compares with the JDK; null if all is right. */
    static @Nullable String whyWrong(BlockHasher hasher) {
        var found = new byte[Trial.EXPECTED.length];
        try {
            hasher.hash(Trial.DATA.duplicate(), found, 0);
        } catch (RuntimeException | LinkageError unusable) {
            return hasher.name() + " does not work here (" + unusable + ")";
        }
        return Arrays.equals(Trial.EXPECTED, found) ? null : hasher.name() + " gives other hashes than the JDK";
    }

    /**
     * Enough blocks to use every lane, some idle lanes, and a short block; and what the JDK makes of them. Made once, eight bytes at a
     * time: a JVM that has just started takes long for such things.
     */
    private static final class Trial {
        static final ByteBuffer DATA = ByteBuffer.allocateDirect((TRIAL_BLOCKS + 3) * Pieces.BLOCK_SIZE + 77);
        static final byte[] EXPECTED = new byte[(TRIAL_BLOCKS + 4) * Hash256.SIZE_BYTES];

        static {
            long value = 1;
            for (int i = 0; i + Long.BYTES <= DATA.capacity(); i += Long.BYTES) {
                value = value * 6_364_136_223_846_793_005L + 1_442_695_040_888_963_407L;
                DATA.putLong(i, value);
            }
            BlockHasher.plain().hash(DATA.duplicate(), EXPECTED, 0);
        }
    }

    /** BLAKE3's inner loop: by the widest vectors that native code or the Vector API offer. */
    static ChunkHasher chunkHasher() {
        return ChosenChunks.HASHER;
    }

    /** Every one that works here, the scalar one last. */
    static List<ChunkHasher> chunkHashers() {
        var all = new ArrayList<ChunkHasher>();
        NativeHashes library = Library.HASHES;
        if (library != null) {
            for (int wide : new int[] {NativeHashes.AVX512 | NativeHashes.AVX2, NativeHashes.AVX2}) {
                if ((library.variants() & wide) == wide) {
                    all.add(new ChunkHasher.Native(library, wide));
                }
            }
        }
        if (hasVectorModule() && VectorStart.lanes() >= 4) {
            all.add(new ChunkHasher.Vector());
        }
        all.add(new ChunkHasher.Scalar());
        return all;
    }

    /** Why BLAKE3 is computed as it is: the provider's name. */
    public static String blake3Provider() {
        return chunkHasher().name();
    }

    private static final class ChosenChunks {
        static final ChunkHasher HASHER = chunkHashers().stream()
                .filter(BlockHashers::isRight)
                .findFirst()
                .orElseGet(ChunkHasher.Scalar::new);
    }

    private static boolean isRight(ChunkHasher hasher) {
        ByteBuffer data = ByteBuffer.allocateDirect(83 * ChunkHasher.CHUNK_BYTES + 5);
        for (int i = 0; i < data.capacity(); i++) {
            data.put(i, (byte) (i * 31));
        }
        try {
            return Arrays.equals(
                    new Blake3(hasher).update(data.duplicate()).finish(),
                    new Blake3(new ChunkHasher.Scalar())
                            .update(data.duplicate())
                            .finish());
        } catch (RuntimeException | LinkageError unusable) {
            return false;
        }
    }

    private static boolean hasVectorModule() {
        return ModuleLayer.boot().findModule("jdk.incubator.vector").isPresent();
    }

    /** As far as the system tells; where it does not, the JDK is taken to use them. */
    private static boolean hasShaInstructions() {
        try {
            String text = Files.readString(CPU_INFO, StandardCharsets.ISO_8859_1);
            return text.contains(" sha_ni") || text.contains(" sha2");
        } catch (IOException otherSystem) {
            return true;
        }
    }

    /** Touches the vector module; loaded once it is known to be there. */
    private static final class VectorStart {
        static int lanes() {
            try {
                return VectorBlockHasher.lanes();
            } catch (LinkageError unusable) {
                return 0;
            }
        }

        static BlockHasher open() {
            return new VectorBlockHasher();
        }
    }
}

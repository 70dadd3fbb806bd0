package shoal.bridge.model;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import shoal.bridge.library.LargePages;
import shoal.bridge.library.PageSettling;
import shoal.codec.base.MalformedException;
import shoal.codec.gguf.Gguf;
import shoal.codec.gguf.GgufReader;
import shoal.codec.gguf.SplitSet;
import shoal.codec.gguf.TensorInfo;

/**
 * Owns the mapping of one GGUF: a whole model, a shard, a vocabulary file, a sparse file with some pieces of a model, or all files
 * of a set that llama.cpp split. Close after the stages on it are closed.
 */
public final class ModelFile implements TensorSource, AutoCloseable {
    private final Arena arena;
    private final Gguf header;
    private final Map<String, MemorySegment> tensors;
    private final Presence presence;
    private final List<MemorySegment> mapped;
    private @Nullable PageSettling settling;

    private ModelFile(
            Arena arena,
            Gguf header,
            Map<String, MemorySegment> tensors,
            List<MemorySegment> mapped,
            Presence presence) {
        this.presence = presence;
        this.mapped = mapped;
        this.arena = arena;
        this.header = header;
        this.tensors = tensors;
    }

    /**
     * Maps a file; of a split set ({@code -00001-of-00003.gguf}) any one names it, and the others lie beside it.
     *
     * @throws MalformedException if it is no GGUF file, beginning with the file's name
     * @throws IOException if it can't be read; the message says which file and why
     */
    public static ModelFile open(Path file) throws IOException {
        Arena arena = Arena.ofShared();
        try {
            Path name = file.getFileName();
            if (name == null || Files.isDirectory(file)) {
                throw new IOException(file + " is a directory; name a GGUF file in it");
            }
            List<MemorySegment> mapped = new ArrayList<>();
            List<Gguf> headers = new ArrayList<>();
            for (String part : SplitSet.fileNames(name.toString())) {
                MemorySegment bytes = map(file.resolveSibling(part), arena);
                mapped.add(bytes);
                headers.add(header(bytes, part));
            }
            return open(arena, name.toString(), mapped, headers);
        } catch (Throwable failure) {
            arena.close();
            throw failure;
        }
    }

    private static ModelFile open(Arena arena, String name, List<MemorySegment> mapped, List<Gguf> headers) {
        SplitSet set;
        try {
            set = SplitSet.of(headers);
        } catch (MalformedException malformed) {
            throw new MalformedException(name + ": " + malformed.getMessage(), malformed);
        }
        Map<String, MemorySegment> tensors = new HashMap<>();
        List<TensorInfo> infos = set.whole().tensors();
        for (int i = 0; i < infos.size(); i++) {
            TensorInfo tensor = infos.get(i);
            tensors.put(tensor.name(), mapped.get(set.fileOf(i)).asSlice(set.offsetOf(i), tensor.sizeBytes()));
        }
        return new ModelFile(arena, set.whole(), tensors, mapped, Presence.ALL);
    }

    /**
     * Maps a sparse file, of which some pieces are here: its header must be, and {@link #tensor} refuses what is not.
     *
     * @throws MalformedException if its header is not here or no GGUF header
     * @throws IOException if it can't be read
     */
    public static ModelFile openSparse(Path file, Presence presence) throws IOException {
        Arena arena = Arena.ofShared();
        try {
            String name = String.valueOf(file.getFileName());
            MemorySegment bytes = map(file, arena);
            if (!presence.holds(0, Math.min(bytes.byteSize(), 4))) {
                throw new MalformedException(name + ": the header is not here yet; fetch it first");
            }
            Gguf header = header(bytes, name);
            if (!presence.holds(0, header.dataOffset())) {
                throw new MalformedException(name + ": only a part of the header is here; fetch the rest of it first");
            }
            Map<String, MemorySegment> tensors = new HashMap<>();
            for (TensorInfo tensor : header.tensors()) {
                tensors.put(tensor.name(), bytes.asSlice(header.fileOffset(tensor), tensor.sizeBytes()));
            }
            return new ModelFile(arena, header, tensors, List.of(bytes), presence);
        } catch (Throwable failure) {
            arena.close();
            throw failure;
        }
    }

    private static MemorySegment map(Path file, Arena arena) throws IOException {
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
            MemorySegment mapped = channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size(), arena);
            LargePages.ask(mapped);
            return mapped;
        } catch (NoSuchFileException missing) {
            throw new IOException(file + " does not exist; check the path", missing);
        } catch (IOException unreadable) {
            throw new IOException(file + " can't be read: " + unreadable.getMessage(), unreadable);
        }
    }

    private static Gguf header(MemorySegment bytes, String name) {
        try {
            return GgufReader.read(bytes);
        } catch (MalformedException malformed) {
            throw new MalformedException(name + ": " + malformed.getMessage(), malformed);
        }
    }

    @Override
    public Gguf header() {
        return header;
    }

    @Override
    public MemorySegment tensor(TensorInfo tensor) {
        MemorySegment bytes = tensors.get(tensor.name());
        if (bytes == null) {
            throw new MalformedException("tensor " + tensor.name() + " is not in this file");
        }
        if (presence != Presence.ALL && !presence.holds(header.fileOffset(tensor), tensor.sizeBytes())) {
            throw new MalformedException("tensor " + tensor.name() + " is not here yet; fetch its layer first");
        }
        return bytes;
    }

    /**
     * From now on {@link #settle} has these tensors come to memory in large pages, if they did not.
     *
     * @param path where the file lies now, it may be moved; of a set of files nothing is done
     */
    public void willSettle(Path path, List<TensorInfo> tensors) {
        var blocks = new BitSet();
        if (mapped.size() == 1) {
            for (TensorInfo tensor : tensors) {
                long offset = header.fileOffset(tensor);
                blocks.set(
                        (int) (offset / LargePages.BYTES),
                        (int) ((offset + tensor.sizeBytes() - 1) / LargePages.BYTES) + 1);
            }
        }
        settling = new PageSettling(path, mapped.getFirst(), blocks);
    }

    /** Whether {@link #settle} would do something now. */
    public boolean isUnsettled(long nowNanos) {
        return settling != null && settling.isDue(nowNanos);
    }

    /** Brings tensors to memory in large pages for so many nanoseconds; on one thread, while nobody closes this. */
    public void settle(long budgetNanos) {
        if (settling != null) {
            settling.step(budgetNanos);
        }
    }

    /** Bytes of the file, or of all files of the set. */
    public long sizeBytes() {
        return mapped.stream().mapToLong(MemorySegment::byteSize).sum();
    }

    /**
     * How many bytes of it this process has seen in pages of 2 MiB until now: nearly all once every tensor was read, if its system and
     * the way the file came to memory allow them; 0 where the system does not tell.
     */
    public long largePageBytes() {
        return mapped.stream().mapToLong(LargePages::seen).sum();
    }

    @Override
    public void close() {
        if (settling != null) {
            settling.close();
        }
        arena.close();
    }
}

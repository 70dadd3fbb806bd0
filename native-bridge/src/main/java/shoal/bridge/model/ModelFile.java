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
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import shoal.codec.base.MalformedException;
import shoal.codec.gguf.Gguf;
import shoal.codec.gguf.GgufReader;
import shoal.codec.gguf.SplitSet;
import shoal.codec.gguf.TensorInfo;

/**
 * Owns the mapping of one GGUF: a whole model, a shard, a vocabulary file, or all files of a set that llama.cpp split. Close after
 * the stages on it are closed.
 */
public final class ModelFile implements TensorSource, AutoCloseable {
    private final Arena arena;
    private final Gguf header;
    private final Map<String, MemorySegment> tensors;
    private final long sizeBytes;

    private ModelFile(Arena arena, Gguf header, Map<String, MemorySegment> tensors, long sizeBytes) {
        this.arena = arena;
        this.header = header;
        this.tensors = tensors;
        this.sizeBytes = sizeBytes;
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
            long size = 0;
            for (String part : SplitSet.fileNames(name.toString())) {
                MemorySegment bytes = map(file.resolveSibling(part), arena);
                mapped.add(bytes);
                headers.add(header(bytes, part));
                size += bytes.byteSize();
            }
            return open(arena, name.toString(), mapped, headers, size);
        } catch (Throwable failure) {
            arena.close();
            throw failure;
        }
    }

    private static ModelFile open(Arena arena, String name, List<MemorySegment> mapped, List<Gguf> headers, long size) {
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
        return new ModelFile(arena, set.whole(), tensors, size);
    }

    private static MemorySegment map(Path file, Arena arena) throws IOException {
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
            return channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size(), arena);
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
        return bytes;
    }

    /** Bytes of the file, or of all files of the set. */
    public long sizeBytes() {
        return sizeBytes;
    }

    @Override
    public void close() {
        arena.close();
    }
}

package shoal.bridge.model;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import shoal.codec.base.MalformedException;
import shoal.codec.gguf.Gguf;
import shoal.codec.gguf.GgufReader;
import shoal.codec.gguf.TensorInfo;

/** Owns the mapping of one GGUF file: a whole model, a shard, or a vocabulary file. Close after the stages on it are closed. */
public final class ModelFile implements TensorSource, AutoCloseable {
    private final Arena arena;
    private final MemorySegment bytes;
    private final Gguf header;

    private ModelFile(Arena arena, MemorySegment bytes, Gguf header) {
        this.arena = arena;
        this.bytes = bytes;
        this.header = header;
    }

    /**
     * @throws MalformedException if it is no GGUF file, beginning with the file's name
     * @throws IOException if it can't be read; the message says which file and why
     */
    public static ModelFile open(Path file) throws IOException {
        if (Files.isDirectory(file)) {
            throw new IOException(file + " is a directory; name a GGUF file in it");
        }
        Arena arena = Arena.ofShared();
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
            MemorySegment bytes = channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size(), arena);
            return new ModelFile(arena, bytes, GgufReader.read(bytes));
        } catch (NoSuchFileException missing) {
            arena.close();
            throw new IOException(file + " does not exist; check the path", missing);
        } catch (IOException unreadable) {
            arena.close();
            throw new IOException(file + " can't be read: " + unreadable.getMessage(), unreadable);
        } catch (MalformedException malformed) {
            arena.close();
            throw new MalformedException(file.getFileName() + ": " + malformed.getMessage(), malformed);
        } catch (Throwable failure) {
            arena.close();
            throw failure;
        }
    }

    @Override
    public Gguf header() {
        return header;
    }

    @Override
    public MemorySegment tensor(TensorInfo tensor) {
        return bytes.asSlice(header.fileOffset(tensor), tensor.sizeBytes());
    }

    /** Bytes of the file. */
    public long sizeBytes() {
        return bytes.byteSize();
    }

    @Override
    public void close() {
        arena.close();
    }
}

package shoal.bridge.make;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SequencedMap;
import shoal.bridge.model.TensorSource;
import shoal.codec.gguf.GgmlType;
import shoal.codec.gguf.Gguf;
import shoal.codec.gguf.GgufWriter;
import shoal.codec.gguf.MetadataValue;
import shoal.codec.gguf.TensorInfo;

/**
 * A model of random weights in memory, for measuring: no file is needed. Large tensors repeat a few megabytes of random blocks, so
 * that a model of any size is made as fast as memory is copied. Owns its memory.
 */
public final class RandomSource implements TensorSource, AutoCloseable {
    private static final long PATTERN_BYTES = 4 << 20;

    private final Arena arena = Arena.ofShared();
    private final Gguf header;
    private final Map<String, MemorySegment> tensors = new HashMap<>();

    /**
     * Every matrix has the given type.
     *
     * @throws IllegalArgumentException if blocks of the type can't be drawn, or a row is not of whole blocks
     */
    public RandomSource(Recipe recipe, FileType type, long seed) {
        SequencedMap<String, MetadataValue> metadata =
                recipe.metadata("random " + recipe.name() + " of seed " + seed + ", " + type);
        metadata.put("general.file_type", new MetadataValue.UInt32(type.id()));
        List<TensorInfo> typed = new ArrayList<>();
        for (TensorInfo tensor : recipe.tensors()) {
            boolean matrix = tensor.dimensions().size() > 1 && !tensor.name().endsWith(".bias");
            typed.add(new TensorInfo(tensor.name(), tensor.dimensions(), matrix ? type.most() : GgmlType.F32, 0));
        }
        header = GgufWriter.write(metadata, typed).gguf();
        try {
            for (TensorInfo tensor : header.tensors()) {
                tensors.put(
                        tensor.name(),
                        made(tensor, new RandomBlocks(seed ^ tensor.name().hashCode())));
            }
        } catch (RuntimeException | OutOfMemoryError failure) {
            arena.close();
            throw failure;
        }
    }

    private MemorySegment made(TensorInfo tensor, RandomBlocks random) {
        MemorySegment bytes =
                arena.allocate(Math.max(1, tensor.sizeBytes()), 64).asSlice(0, tensor.sizeBytes());
        int block = tensor.type().blockBytes();
        long pattern = Math.min(bytes.byteSize(), PATTERN_BYTES / block * block);
        RandomModel.fill(tensor, random, bytes.asSlice(0, pattern));
        for (long at = pattern; at < bytes.byteSize(); at += pattern) {
            long count = Math.min(pattern, bytes.byteSize() - at);
            MemorySegment.copy(bytes, 0, bytes, at, count);
        }
        return bytes;
    }

    @Override
    public Gguf header() {
        return header;
    }

    @Override
    public MemorySegment tensor(TensorInfo tensor) {
        MemorySegment bytes = tensors.get(tensor.name());
        if (bytes == null) {
            throw new IllegalArgumentException("there is no tensor " + tensor.name());
        }
        return bytes;
    }

    @Override
    public void close() {
        arena.close();
    }
}

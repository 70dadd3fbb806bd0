package shoal.bridge.make;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.SequencedMap;
import java.util.function.LongConsumer;
import shoal.codec.gguf.GgmlType;
import shoal.codec.gguf.Gguf;
import shoal.codec.gguf.GgufWriter;
import shoal.codec.gguf.MetadataValue;
import shoal.codec.gguf.TensorInfo;

/**
 * A model of random weights in the measures of a {@link Recipe}: it loads, runs at the speed of a real one, keeps its activations
 * within bounds, and writes noise. The same recipe, type and seed give the same bytes. Never more than a part of one tensor is in
 * memory.
 */
public final class RandomModel {
    private static final int BUFFER_BYTES = 8 << 20;
    private static final int QUANTISATION_VERSION = 2;

    private RandomModel() {}

    /**
     * Writes the file, by way of a temporary one beside it.
     *
     * @param pure every matrix has the main type of the file type; else as {@link Mixture} has it
     * @param progress hears the bytes written so far
     * @return the file's size in bytes
     * @throws IOException in one line if there is no room, or it can't be written
     */
    public static long write(Recipe recipe, FileType type, boolean pure, long seed, Path target, LongConsumer progress)
            throws IOException {
        SequencedMap<String, MetadataValue> metadata =
                recipe.metadata("random " + recipe.name() + " of seed " + seed + ", " + type);
        metadata.put("general.quantization_version", new MetadataValue.UInt32(QUANTISATION_VERSION));
        metadata.put("general.file_type", new MetadataValue.UInt32(type.id()));
        List<TensorInfo> plain = Mixture.ordered(recipe.tensors());
        var mixture = new Mixture(
                type,
                pure,
                plain,
                recipe.family().architecture(),
                recipe.layers(),
                recipe.experts(),
                recipe.heads(),
                recipe.kvHeads());
        var tensors = new ArrayList<TensorInfo>();
        for (TensorInfo tensor : plain) {
            tensors.add(new TensorInfo(tensor.name(), tensor.dimensions(), mixture.typeOf(tensor), 0));
        }
        GgufWriter.Written written = GgufWriter.write(metadata, tensors);
        try (NewFile file = NewFile.create(target, written.fileSize())) {
            file.write(ByteBuffer.wrap(written.header()));
            Gguf gguf = written.gguf();
            ByteBuffer buffer = ByteBuffer.allocateDirect(BUFFER_BYTES).order(ByteOrder.nativeOrder());
            for (TensorInfo tensor : gguf.tensors()) {
                file.padTo(gguf.fileOffset(tensor));
                write(tensor, seed, buffer, file, progress);
            }
            file.padTo(written.fileSize());
            file.finish();
            return written.fileSize();
        }
    }

    private static void write(TensorInfo tensor, long seed, ByteBuffer buffer, NewFile file, LongConsumer progress)
            throws IOException {
        var random = new RandomBlocks(seed * 0x2545f4914f6cdd1dL ^ tensor.name().hashCode() * 0x9e3779b97f4a7c15L);
        GgmlType type = tensor.type();
        long left = tensor.sizeBytes();
        int most = BUFFER_BYTES / type.blockBytes() * type.blockBytes();
        while (left > 0) {
            buffer.clear().limit((int) Math.min(most, left));
            MemorySegment part = MemorySegment.ofBuffer(buffer);
            fill(tensor, random, part);
            file.write(buffer);
            left -= part.byteSize();
            progress.accept(file.position());
        }
    }

    /** Matrices keep the size of what goes through them; norms are about 1, other vectors small. */
    static void fill(TensorInfo tensor, RandomBlocks random, MemorySegment part) {
        if (tensor.name().endsWith("_norm.weight")) {
            random.fill(GgmlType.F32, part, 0.05);
            for (long at = 0; at < part.byteSize(); at += Float.BYTES) {
                part.set(RandomBlocks.FLOAT, at, 1 + part.get(RandomBlocks.FLOAT, at));
            }
        } else if (tensor.dimensions().size() == 1 || tensor.name().endsWith(".bias")) {
            random.fill(GgmlType.F32, part, 0.02);
        } else {
            random.fill(tensor.type(), part, 1 / Math.sqrt(tensor.dimensions().getFirst()));
        }
    }
}

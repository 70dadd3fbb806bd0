package shoal.bridge.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import shoal.bridge.SharedData;
import shoal.bridge.kernel.KernelChoice;
import shoal.bridge.kernel.KernelSettings;
import shoal.bridge.kernel.Kernels;
import shoal.bridge.kernel.SequenceMemory;
import shoal.bridge.model.arch.Architectures;
import shoal.codec.base.ByteRange;
import shoal.codec.base.LayerRange;
import shoal.codec.base.MalformedException;
import shoal.codec.gguf.LayerBytes;

/** Layers run from a file that has their bytes and holes elsewhere as they run from the whole file. */
class SparseModelTest {
    private static final int[] PROMPT = {1, 521, 408, 806, 5, 17};
    private static final List<LayerRange> CUT =
            List.of(new LayerRange(0, 2), new LayerRange(3, 3), new LayerRange(4, 7));

    @TempDir
    private Path directory;

    @ParameterizedTest
    @ValueSource(strings = {"stories-q8_0.gguf", "stories-q4_0.gguf", "stories-moe-q8_0.gguf", "stories-f16.gguf"})
    void aSparseFileGivesTheSameBits(String name) throws IOException {
        Path whole = SharedData.file("models/" + name);
        var settings = new KernelSettings("vector", 2);
        try (Kernels kernels = KernelChoice.of(settings).provider().open(settings);
                ModelFile model = ModelFile.open(whole)) {
            var expected = new ArrayList<Stage>();
            var found = new ArrayList<Stage>();
            var opened = new ArrayList<ModelFile>();
            long held = 0;
            for (LayerRange layers : CUT) {
                List<ByteRange> ranges = LayerBytes.of(model.header(), Files.size(whole), layers);
                Path sparse = copy(whole, ranges, name + "-" + layers);
                held += ranges.stream().mapToLong(ByteRange::size).sum();
                ModelFile file = ModelFile.openSparse(sparse, within(ranges));
                opened.add(file);
                found.add(Architectures.open(file, layers, StageSettings.of(kernels)));
                expected.add(Architectures.open(model, layers, StageSettings.of(kernels)));
                int other = layers.first() == 0 ? 7 : 0;
                var missing = file.header().requiredTensor("blk." + other + ".attn_norm.weight");
                var refused = assertThrows(MalformedException.class, () -> file.tensor(missing));
                assertTrue(String.valueOf(refused.getMessage()).contains("is not here yet"), refused::getMessage);
            }
            assertTrue(held < 2 * Files.size(whole), "three cuts take " + held + " bytes");
            assertArrayEquals(run(expected), run(found));
            found.forEach(Stage::close);
            expected.forEach(Stage::close);
            opened.forEach(ModelFile::close);
        }
    }

    @Test
    void refusesAFileWithoutItsHeader() throws IOException {
        Path whole = SharedData.file("models/stories-q8_0.gguf");
        long header;
        try (ModelFile model = ModelFile.open(whole)) {
            header = model.header().dataOffset();
        }
        Path nothing = copy(whole, List.of(), "nothing.gguf");
        var absent = assertThrows(MalformedException.class, () -> ModelFile.openSparse(nothing, (_, _) -> false));
        assertEquals("nothing.gguf: the header is not here yet; fetch it first", absent.getMessage());
        var cut = new ByteRange(0, header - 1);
        Path part = copy(whole, List.of(cut), "part.gguf");
        assertThrows(MalformedException.class, () -> ModelFile.openSparse(part, within(List.of(cut))));
    }

    private static Presence within(List<ByteRange> ranges) {
        return (offset, size) ->
                ranges.stream().anyMatch(range -> range.offset() <= offset && offset + size <= range.end());
    }

    private Path copy(Path whole, List<ByteRange> ranges, String name) throws IOException {
        Path target = directory.resolve(name);
        try (FileChannel from = FileChannel.open(whole, StandardOpenOption.READ);
                FileChannel to = FileChannel.open(
                        target, StandardOpenOption.CREATE_NEW, StandardOpenOption.SPARSE, StandardOpenOption.WRITE)) {
            to.write(ByteBuffer.allocate(1), from.size() - 1);
            for (ByteRange range : ranges) {
                ByteBuffer bytes = ByteBuffer.allocate(Math.toIntExact(range.size()));
                while (bytes.hasRemaining() && from.read(bytes, range.offset() + bytes.position()) > 0) {
                    // read on
                }
                to.write(bytes.flip(), range.offset());
            }
        }
        return target;
    }

    private static byte[] run(List<Stage> stages) {
        Batch.Input input = new Batch.Input.Tokens(PROMPT);
        byte[] out = new byte[0];
        for (Stage stage : stages) {
            try (SequenceMemory sequence = stage.openSequence()) {
                var batch = new Batch(List.of(new Batch.Slice(sequence, 0, PROMPT.length, Batch.Wanted.LAST)), input);
                out = new byte[Math.toIntExact(stage.outputBytes(batch))];
                stage.run(batch, MemorySegment.ofArray(out));
                input = new Batch.Input.Activations(MemorySegment.ofArray(out));
            }
        }
        return out;
    }
}

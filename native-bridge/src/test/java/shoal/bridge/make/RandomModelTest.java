package shoal.bridge.make;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import shoal.bridge.generate.GenerationRequest;
import shoal.bridge.generate.LocalGenerator;
import shoal.bridge.kernel.KernelChoice;
import shoal.bridge.kernel.KernelSettings;
import shoal.bridge.kernel.Kernels;
import shoal.bridge.kernel.scalar.ScalarOperations;
import shoal.bridge.model.ModelFile;
import shoal.bridge.model.StageSettings;
import shoal.bridge.model.arch.Architectures;
import shoal.codec.gguf.GgmlType;
import shoal.codec.gguf.TensorInfo;
import shoal.codec.wire.Sampling;

/** Random models load and run, whatever the family and the type; and they are the same each time. */
class RandomModelTest {
    private static final String TEXT = "The sea, 12 fish; größer ist 好\n";

    @TempDir
    Path folder;

    static Stream<Arguments> tinyOnes() {
        List<FileType> several = List.of(FileType.Q8_0, FileType.Q4_K_M, FileType.F16);
        return Recipe.all().stream()
                .filter(recipe -> recipe.name().endsWith("-tiny"))
                .flatMap(recipe -> several.stream().map(type -> Arguments.of(recipe.name(), type)));
    }

    @ParameterizedTest
    @MethodSource("tinyOnes")
    void everyFamilyGenerates(String name, FileType type) throws Exception {
        generates(name, type, false);
    }

    @ParameterizedTest
    @EnumSource(FileType.class)
    void everyTypeGenerates(FileType type) throws Exception {
        generates("llama-tiny", type, true);
        generates("mixtral-tiny", type, false);
    }

    private void generates(String name, FileType type, boolean pure) throws Exception {
        Path path = folder.resolve(name + type + pure + ".gguf");
        long size = RandomModel.write(Recipe.of(name), type, pure, 7, path, _ -> {});
        assertEquals(size, Files.size(path));
        var settings = new KernelSettings(null, 1);
        try (ModelFile file = ModelFile.open(path);
                Kernels kernels = KernelChoice.of(settings).provider().open(settings);
                LocalGenerator generator = LocalGenerator.open(file, StageSettings.of(kernels))) {
            var tokenizer = generator.tokenizer();
            int[] ids = tokenizer.encode(TEXT, false, false);
            var text = new StringBuilder();
            var detokenizer = new shoal.bridge.model.text.Detokenizer(tokenizer, true);
            for (int id : ids) {
                text.append(detokenizer.next(id));
            }
            text.append(detokenizer.end());
            assertEquals(TEXT, text.toString().replaceFirst("^ ", ""));
            assertTrue(ids.length < TEXT.length(), "letters are joined: " + ids.length + " tokens");
            float[] logits = generator.logits(ids);
            double squares = 0;
            for (float logit : logits) {
                squares += (double) logit * logit;
            }
            double deviation = Math.sqrt(squares / logits.length);
            // A norm's output has deviation 1, and the output matrix keeps it; Granite divides by 8.
            assertTrue(deviation > 0.05 && deviation < 3, name + " " + type + ": deviation " + deviation);
            var generation = generator.generate(GenerationRequest.of(ids, 4, Sampling.GREEDY), _ -> {});
            assertEquals(4, generation.tokens().size(), generation.toString());
        }
    }

    @Test
    void everyArchitectureThatRunsCanBeMade() {
        Set<String> made = Recipe.all().stream()
                .map(recipe -> recipe.family().architecture())
                .collect(Collectors.toSet());
        assertEquals(Set.copyOf(Architectures.names()), made);
    }

    @ParameterizedTest
    @EnumSource(GgmlType.class)
    void everyTypeThatRunsHasTheWantedDeviation(GgmlType type) {
        boolean runs = true;
        try {
            ScalarOperations.dequantizer(type);
        } catch (RuntimeException notSupported) {
            runs = false;
        }
        assertEquals(runs, RandomBlocks.knows(type));
        if (!runs) {
            return;
        }
        MemorySegment bytes = MemorySegment.ofArray(new byte[(int) type.sizeBytes(1 << 16)]);
        new RandomBlocks(3).fill(type, bytes, 0.02);
        float[] values = new float[1 << 16];
        ScalarOperations.dequantizer(type).dequantise(bytes, 0, values.length, values, 0);
        double sum = 0;
        double squares = 0;
        for (float value : values) {
            sum += value;
            squares += (double) value * value;
        }
        double deviation = Math.sqrt(squares / values.length);
        double slack = type == GgmlType.MXFP4 ? 0.5 : 0.05; // its scales are powers of two
        assertEquals(0.02, deviation, 0.02 * slack);
        assertEquals(0, sum / values.length, 0.001);
    }

    @Test
    void theSameSeedGivesTheSameBytes() throws Exception {
        Path one = folder.resolve("one.gguf");
        Path two = folder.resolve("two.gguf");
        Path other = folder.resolve("other.gguf");
        RandomModel.write(Recipe.of("qwen3-tiny"), FileType.Q4_K_M, false, 1, one, _ -> {});
        RandomModel.write(Recipe.of("qwen3-tiny"), FileType.Q4_K_M, false, 1, two, _ -> {});
        RandomModel.write(Recipe.of("qwen3-tiny"), FileType.Q4_K_M, false, 2, other, _ -> {});
        assertEquals(-1, Files.mismatch(one, two));
        assertNotEquals(-1, Files.mismatch(one, other));
    }

    /** Shapes of the named ones are asked of the architecture without writing them. */
    @Test
    void namedOnesHaveTheTensorsOfTheirArchitecture() {
        for (Recipe recipe : Recipe.all()) {
            Recipe tiny = Recipe.all().stream()
                    .filter(each -> each.name().endsWith("-tiny")
                            && each.family() == recipe.family()
                            && each.experts() > 0 == recipe.experts() > 0)
                    .findFirst()
                    .orElseThrow();
            assertEquals(layerNames(tiny), layerNames(recipe), recipe.name());
            assertEquals(0, recipe.heads() % recipe.kvHeads(), recipe.name());
        }
        assertEquals(1_100_048_384L, parameters(Recipe.of("llama-1b")));
        assertEquals(6_738_415_616L, parameters(Recipe.of("llama-7b")));
    }

    private static List<String> layerNames(Recipe recipe) {
        return recipe.tensors().stream()
                .map(TensorInfo::name)
                .filter(name -> name.startsWith("blk.1."))
                .toList();
    }

    private static long parameters(Recipe recipe) {
        return recipe.tensors().stream().mapToLong(TensorInfo::elementCount).sum();
    }

    @Test
    void nothingIsLeftOfAFileThatCouldNotBeWritten() throws Exception {
        var failure = assertThrows(IOException.class, () -> NewFile.create(folder.resolve("big"), Long.MAX_VALUE / 2));
        assertTrue(failure.getMessage().contains("bytes, and"), failure.getMessage());
        Path stopped = folder.resolve("stopped.gguf");
        assertThrows(
                IllegalStateException.class,
                () -> RandomModel.write(Recipe.of("llama-tiny"), FileType.Q8_0, false, 1, stopped, _ -> {
                    throw new IllegalStateException("stop");
                }));
        try (Stream<Path> left = Files.list(folder)) {
            assertEquals(new ArrayList<Path>(), left.collect(Collectors.toCollection(ArrayList::new)));
        }
        assertTrue(assertThrows(IOException.class, () -> NewFile.create(folder.resolve("no/such/file"), 1))
                .getMessage()
                .contains("does not exist"));
        assertTrue(assertThrows(IllegalArgumentException.class, () -> Recipe.of("llama-9z"))
                .getMessage()
                .contains("llama-1b"));
        assertTrue(assertThrows(IllegalArgumentException.class, () -> FileType.of("Q9"))
                .getMessage()
                .contains("Q4_K_M"));
    }
}

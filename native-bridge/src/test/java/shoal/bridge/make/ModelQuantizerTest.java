package shoal.bridge.make;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.HexFormat;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import shoal.bridge.SharedData;
import shoal.codec.base.MalformedException;
import shoal.codec.gguf.Gguf;
import shoal.codec.gguf.GgufReader;

/** Whole files as llama.cpp v0.5.0's llama-quantize writes them, byte for byte. */
class ModelQuantizerTest {
    @TempDir
    Path folder;

    @ParameterizedTest
    @ValueSource(strings = {"Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "IQ4_NL"})
    void pureFilesAreThose(String type) throws Exception {
        Path out = folder.resolve("out.gguf");
        quantise(SharedData.file("testdata/quants/quant128-F32.gguf"), out, type, true, false, 2);
        assertEquals(-1, Files.mismatch(SharedData.file("testdata/quants/quant128-" + type + ".gguf"), out));
    }

    /** SHA-256 of what {@code llama-quantize stories-f16.gguf out.gguf TYPE} writes. */
    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "F32 | e5232f1be5944853e87d0b5cfa96629758a8e8403e4795ac4351c41e09e4749b",
                "BF16 | ee4a6f5803ff763d14412bda420279f7151be4624950821179677c67ef4c3503",
                "Q8_0 | e49158e72bab142af076e0c34563299b58522327cd81a24a8c52a86f84e6cc3d",
                "Q4_0 | 689f568276ff0cffa10267d3d474a08414fe2da6bb63a8a213c71f5ba678037a",
                "Q4_1 | aa61a6719411c9fbd4812dd41ef75807f19c83639e176088d0693ff16b0c8694",
                "Q5_0 | e917ba293018085cc7ea5d4da40d2f84afddfbf92c23cf327c3375d3efec2beb",
                "Q5_1 | 121d126be2412c58ff21b50d137c2e5b527304d42f50b43c692a941e97103893",
                "IQ4_NL | e152ccb3a3918c3c699c062c1a281bc5ba6f4c49ba2a9b5b233ddce3054bf004",
                "Q4_K_S | a7bd76885bdbef9006ca201ce51a722d4bbea9bae36017f4f9be9d72aa58d55f",
                "Q4_K_M | d689964024703d0c4c1986f8811a529d4210cc0d36c9c39e627295dfbd3e531d",
                "Q5_K_S | a73485a098150f9df96521a32f634a36ad800ce4af2988f20da05a00984427cd",
                "Q5_K_M | 5d4ad051fa35b6ad78ff7ec3894e77eaf0450cdbe38cfe02676ae4caaa861c19",
                "Q6_K | b70b4532334f68c23f0d97d54e1c520abec4aa0183d9f3f472c3b045dccd6c4c",
            })
    void mixturesAreThose(String type, String sha256) throws Exception {
        Path out = folder.resolve("out.gguf");
        quantise(SharedData.file("models/stories-f16.gguf"), out, type, false, false, 2);
        byte[] digest = MessageDigest.getInstance("SHA-256").digest(Files.readAllBytes(out));
        assertEquals(sha256, HexFormat.of().formatHex(digest));
    }

    @Test
    void theResultDoesNotDependOnThreads() throws Exception {
        Path one = folder.resolve("one.gguf");
        Path three = folder.resolve("three.gguf");
        RandomModel.write(Recipe.of("llama-tiny"), FileType.F16, false, 5, folder.resolve("in.gguf"), _ -> {});
        quantise(folder.resolve("in.gguf"), one, "Q5_K_M", false, false, 1);
        quantise(folder.resolve("in.gguf"), three, "Q5_K_M", false, false, 3);
        assertEquals(-1, Files.mismatch(one, three));
    }

    @Test
    void refusesInOneLineAndLeavesNothing() throws Exception {
        Path in = folder.resolve("in.gguf");
        Path out = folder.resolve("out.gguf");
        RandomModel.write(Recipe.of("llama-tiny"), FileType.Q8_0, false, 5, in, _ -> {});
        assertRefused("is Q8_0 already", () -> quantise(in, out, "Q4_0", false, false, 1));
        assertRefused("quantising to Q3_K is not supported", () -> quantise(in, out, "Q3_K_M", false, true, 1));
        assertTrue(assertThrows(IOException.class, () -> quantise(in, in, "Q4_0", false, true, 1))
                .getMessage()
                .contains("is the file that is read"));

        Path bad = folder.resolve("bad.gguf");
        RandomModel.write(Recipe.of("llama-tiny"), FileType.F32, false, 5, bad, _ -> {});
        byte[] bytes = Files.readAllBytes(bad);
        Gguf header = GgufReader.read(java.lang.foreign.MemorySegment.ofArray(bytes));
        int at = (int) header.fileOffset(header.requiredTensor("blk.1.ffn_up.weight")) + 4 * 300;
        java.nio.ByteBuffer.wrap(bytes).order(java.nio.ByteOrder.LITTLE_ENDIAN).putFloat(at, Float.NaN);
        Files.write(bad, bytes);
        assertRefused(
                "tensor blk.1.ffn_up.weight has the value NaN at 300",
                () -> quantise(bad, out, "Q8_0", false, false, 1));
        try (Stream<Path> left = Files.list(folder)) {
            assertEquals(2, left.count(), "the two sources, and nothing half-written");
        }
        quantise(in, out, "Q4_0", false, true, 1);
        assertTrue(Files.size(out) < Files.size(in));
    }

    private static void assertRefused(String message, org.junit.jupiter.api.function.Executable step) {
        String found =
                String.valueOf(assertThrows(MalformedException.class, step).getMessage());
        assertTrue(found.contains(message), found);
    }

    private static void quantise(Path in, Path out, String type, boolean pure, boolean again, int threads)
            throws IOException {
        ModelQuantizer.quantise(in, out, new ModelQuantizer.Request(FileType.of(type), pure, again, threads), _ -> {});
    }
}

package shoal.bridge.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Random;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import shoal.bridge.kernel.ffm.InstructionSet;
import shoal.bridge.kernel.host.HostKernels;
import shoal.bridge.kernel.host.HostWeights;
import shoal.bridge.kernel.scalar.ScalarOperations;
import shoal.codec.gguf.GgmlType;

/**
 * The kernels for ARM against the plain loops, to the bit, on a machine of any kind: compiled for ARM, run by an emulator. Where they
 * run by themselves {@link NativeAgreementTest} holds them to more.
 */
class NeonAgreementTest {
    private static final String COMPILER = "aarch64-linux-gnu-gcc";
    private static final String EMULATOR = "qemu-aarch64";
    private static final long SEED = Long.getLong("shoal.seed", 20_263);

    /** Each way to take them: rows one, two and four at once; from 5 on tiles of 2 and 4 at once, with and without a last one. */
    private static final int[] TOKENS = {1, 3, 4, 5, 13};

    @TempDir
    Path folder;

    @Test
    void multipliesAndAttendsAsTheOracle() throws IOException, InterruptedException {
        for (String program : List.of(COMPILER, EMULATOR)) {
            boolean there = Stream.of(System.getenv("PATH").split(File.pathSeparator))
                    .anyMatch(each -> Files.isExecutable(Path.of(each, program)));
            Assumptions.assumeTrue(there, program + " is not in the PATH (Debian: gcc-aarch64-linux-gnu, qemu-user)");
        }
        Path module = Path.of(System.getProperty("shoal.repository"), "native-bridge");
        Path libraries = folder.resolve("native");
        var build = new ProcessBuilder(
                "sh", module.resolve("src/main/c/build.sh").toString(), "" + libraries, "" + folder.resolve("objects"));
        build.environment().put("CC", COMPILER);
        build.environment().put("OPTIMISE", "-O1"); // compiles in a third of the time
        build.environment().remove("SHOAL_CROSS_CC");
        run(build, new byte[0]);
        Path library = libraries.resolve("linux-aarch64");
        Path program = folder.resolve("agree");
        run(
                new ProcessBuilder(
                        COMPILER,
                        "-O1",
                        module.resolve("src/test/c/agree.c").toString(),
                        "-L" + library,
                        "-lshoal",
                        "-o",
                        program.toString()),
                new byte[0]);
        NativeCases cases = cases();
        byte[] found = run(
                new ProcessBuilder(
                        EMULATOR,
                        "-L",
                        "/usr/aarch64-linux-gnu",
                        "-E",
                        "LD_LIBRARY_PATH=" + library,
                        program.toString(),
                        "" + InstructionSet.NEON.ordinal()),
                cases.bytes());
        FloatBuffer floats =
                ByteBuffer.wrap(found).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer();
        for (int i = 0; i < cases.answers().size(); i++) {
            for (float expected : cases.answers().get(i)) {
                String name = cases.names().get(i);
                assertTrue(floats.hasRemaining(), () -> "no answer for " + name);
                assertEquals(expected, floats.get(), () -> name + ", seed " + SEED);
            }
        }
        assertEquals(0, floats.remaining());
    }

    private static NativeCases cases() {
        var cases = new NativeCases();
        var random = new Random(SEED);
        for (GgmlType type : new TreeSet<>(new ScalarOperations().types())) {
            int[] widths = type.blockValues() == 256
                    ? new int[] {256, 768, 1280}
                    : type.blockValues() > 1 ? new int[] {32, 480, 544, 1056} : new int[] {1, 17, 259};
            for (int columns : widths) {
                for (int tokens : TOKENS) {
                    for (int rows : new int[] {1, 17, 22}) {
                        try (Arena arena = Arena.ofConfined()) {
                            var weights = new HostWeights(
                                    type,
                                    rows,
                                    columns,
                                    KernelAgreementTest.randomBlocks(type, rows * columns, random, arena));
                            cases.product(weights, activations(columns, tokens, random), tokens);
                        }
                    }
                }
            }
        }
        for (int size = 1; size < 50; size++) {
            cases.elements(activations(size, 1, random), activations(size, 1, random));
        }
        try (var kernels = new HostKernels("scalar", cases, 1)) {
            for (CacheType type : CacheType.values()) {
                for (int headSize : new int[] {32, 96}) {
                    for (Op.Scores scores : KernelAgreementTest.SCORES) {
                        KernelAgreementTest.attention(kernels, headSize, type, scores, 37);
                    }
                }
            }
        }
        return cases;
    }

    /** Some blocks all zeros, some tiny, some huge. */
    private static float[] activations(int columns, int tokens, Random random) {
        float[] values = new float[columns * tokens];
        for (int i = 0; i < values.length; i++) {
            int kind = Math.floorMod(i / 32 * 2_654_435, 11);
            values[i] = (float) random.nextGaussian() * (kind == 0 ? 0 : kind == 1 ? 1e-31f : kind == 2 ? 1e20f : 1);
        }
        return values;
    }

    private byte[] run(ProcessBuilder command, byte[] input) throws IOException, InterruptedException {
        Path in = folder.resolve("in");
        Path out = folder.resolve("out");
        Path errors = folder.resolve("errors");
        Files.write(in, input);
        Process process = command.redirectInput(in.toFile())
                .redirectOutput(out.toFile())
                .redirectError(errors.toFile())
                .start();
        try {
            assertTrue(process.waitFor(5, TimeUnit.MINUTES), () -> command.command() + " does not end");
        } finally {
            process.destroyForcibly();
        }
        assertEquals(0, process.exitValue(), () -> command.command() + ": " + text(errors));
        return Files.readAllBytes(out);
    }

    private static String text(Path file) {
        try {
            return Files.readString(file);
        } catch (IOException gone) {
            return "";
        }
    }
}

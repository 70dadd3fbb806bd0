package shoal.verticles.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import shoal.bridge.kernel.KernelChoice;
import shoal.bridge.kernel.KernelProvider;
import tools.jackson.databind.JsonNode;

/** What a user gets wrong costs one line that names cause and remedy, an exit code, and nothing else. */
final class CliBadInputTest {
    private static final int I8 = 24;

    /** Files that tests may read, but not write. */
    @TempDir
    private static Path given;

    @TempDir
    private Path directory;

    private int exit;
    private String out = "";
    private List<String> errors = List.of();

    @BeforeAll
    static void files() throws IOException {
        byte[] model = bundledModel();
        Files.write(given.resolve("model.gguf"), model);
        Files.writeString(given.resolve("text.gguf"), "Once upon a time there was a file that was no model.");
        Files.write(given.resolve("short.gguf"), java.util.Arrays.copyOf(model, model.length / 2));
        Files.write(given.resolve("zebra.gguf"), patched(model, "general.architecture", 12, "zebra"));
        Files.write(given.resolve("bert.gguf"), patched(model, "tokenizer.ggml.model", 12, "tbert"));
        Files.write(given.resolve("i8.gguf"), withTensorType(model, "blk.0.attn_q.weight", I8));
        Files.writeString(given.resolve("broken.json"), "{\"quic\":");
        Files.writeString(given.resolve("key.json"), "{\"quic\":{\"prot\":7}}");
        Files.writeString(given.resolve("range.json"), "{\"quic\":{\"port\":70000}}");
        Files.writeString(given.resolve("rendezvous.json"), "{\"role\":\"rendezvous\"}");
        Files.writeString(given.resolve("tiny-secret"), "x");
        var test = new CliBadInputTest();
        test.run("split " + given + "/model.gguf --shards 2 --out " + given + "/two");
        test.run("split " + given + "/model.gguf --shards 4 --out " + given + "/four");
        assertEquals(0, test.exit);
    }

    @BeforeEach
    void nothingYet() throws IOException {
        try (Stream<Path> files = Files.list(directory)) {
            assertEquals(0, files.count());
        }
    }

    /** G stands for the folder of given files, D for an empty one. */
    @ParameterizedTest(name = "{0}")
    @CsvSource(delimiter = '|', textBlock = """
        # models
        generate --model D/none.gguf --prompt x           | 1 | none.gguf does not exist; check the path
        generate --model G --prompt x                     | 1 | is a directory; name a GGUF file in it
        generate --model G/text.gguf --prompt x           | 1 | this is not a GGUF file
        generate --model G/short.gguf --prompt x          | 1 | short.gguf
        generate --model G/zebra.gguf --prompt x          | 1 | zebra.gguf: architecture zebra is not supported; supported are
        generate --model G/i8.gguf --prompt x           | 1 | has type I8, which is not supported; supported are F32
        generate --model G/bert.gguf --prompt x           | 1 | tokenizer model tbert is not supported; supported
        tokenize --model G/bert.gguf x                    | 1 | bert.gguf: tokenizer model tbert is not supported
        split D/none.gguf --shards 2 --out D/out          | 1 | none.gguf
        split G/text.gguf --shards 2 --out D/out          | 1 | not a GGUF file
        demo --model D/none.gguf                          | 1 | none.gguf does not exist
        demo --model G/zebra.gguf                         | 1 | architecture zebra is not supported
        # requests
        generate --model G/model.gguf --prompt x --tokens 5000 | 1 | 5003, but the context length is 512; shorten the prompt
        generate --model G/model.gguf --prompt x --tokens -1   | 1 | -1 tokens are asked for, allowed are 0 or more
        generate --model G/model.gguf --prompt x --tokens abc  | 2 | 'abc' is no whole number
        generate --model G/model.gguf --prompt x --kernels gpu | 1 | there are no 'gpu' kernels; there are
        generate --model G/model.gguf --prompt x --device gpu  | 1 | there are no 'gpu' kernels; there are
        generate --model G/model.gguf --prompt x --device opencl:x | 1 | a device is named as opencl:0
        generate --model G/model.gguf --prompt x --device cpu:1 | 1 | cpu has no devices to be numbered
        generate --model G/model.gguf --prompt x --device opencl:0,opencl:0 | 1 | devices are at most 16, each named once
        generate --model G/model.gguf --prompt x --device-layers some | 1 | layers on devices are auto or a number
        generate --model G/model.gguf --prompt x --kernels vector --device opencl:0 | 1 | vector kernels don't run on device opencl:0; leave one of the two out
        logits --model G/model.gguf --tokens 1,2 --kernels opencl --device cpu | 1 | opencl kernels don't run on device cpu; leave one of the two out
        generate --model G/model.gguf --prompt x --cache-type f8 | 1 | cache type f8 is not known; there are f32, f16, q8_0
        logits --model G/model.gguf --tokens 1,x          | 2 | 'x' is no whole number
        logits --model G/model.gguf --tokens 5000         | 1 | token 5000 is not in the vocabulary, allowed 0..1023
        generate --model G/model.gguf --prompt x --max-memory 50M | 2 | of KV cache for 129 positions, and about
        generate --model G/model.gguf --prompt x --max-memory 6Q  | 2 | --max-memory is '6Q', allowed is a number of bytes
        generate --model G/model.gguf --prompt x --threads 9999   | 1 | threads is 9999, allowed 1..1024
        node --max-memory much --bootstrap 127.0.0.1:1    | 2 | --max-memory is 'much'
        node --threads 2000 --bootstrap 127.0.0.1:1       | 2 | --threads: compute.threads is 2000
        # the owner's machine
        pause --store D/none                              | 1 | open. Name the node's store with --store DIR, or its address with --at HOST:PORT
        resume --at 127.0.0.1:1                           | 1 | 127.0.0.1:1 does not answer
        pause --at nowhere                                | 1 | nowhere
        node --set cluster.drainSeconds=-1 --bootstrap 127.0.0.1:1 | 2 | cluster.drainSeconds is -1
        # tools
        inspect G/text.gguf                               | 1 | text.gguf: this is not a GGUF file
        inspect G/short.gguf                              | 1 | short.gguf
        inspect D/none.gguf                               | 1 | none.gguf does not exist
        quantize G/model.gguf D/out.gguf Q4_0             | 1 | is Q8_0 already; quantising it again loses more
        quantize G/model.gguf D/out.gguf Q9_9             | 1 | type 'Q9_9' is not known; there are
        quantize D/none.gguf D/out.gguf Q4_0              | 1 | none.gguf does not exist
        quantize G/model.gguf D/no/such/out.gguf Q8_0     | 1 | does not exist; make that folder
        quantize G/model.gguf D/out.gguf Q8_0 --threads -2 | 2 | --threads is -2, allowed 0..1024
        make-model --like llama-9z --out D/out.gguf       | 1 | there is no model like 'llama-9z'; there are llama-1b
        make-model --like llama-tiny --type Q9 --out D/out.gguf | 1 | type 'Q9' is not known
        make-model --like llama-tiny                      | 2 | needs --like NAME and --out FILE
        make-model --like llama-tiny --out D/no/out.gguf  | 1 | does not exist; make that folder
        perplexity G/model.gguf --text D/none.txt         | 1 | none.txt does not exist
        perplexity G/model.gguf --text G/text.gguf        | 1 | and a context of 512 needs 1024 or more
        perplexity G/model.gguf --text G/text.gguf --context 9999 | 1 | the context is 9999, allowed 4..512
        perplexity G/text.gguf --text G/text.gguf         | 1 | this is not a GGUF file
        # shards
        split G/model.gguf --shards 9 --out D/out         | 1 | shard count is 9, allowed 1..8
        split G/model.gguf --shards 0 --out D/out         | 1 | shard count is 0, allowed 1..8
        join G/two/shard-0.gguf --out D/joined.gguf       | 1 | are missing: it has 2
        join G/two/shard-0.gguf G/four/shard-1.gguf --out D/joined.gguf | 1 | another model or split
        join G/two/shard-0.gguf D/none.gguf --out D/joined.gguf | 1 | none.gguf does not exist
        torrent D/none.gguf                               | 1 | none.gguf does not exist
        # profiles and options
        node --config D/none.json                         | 2 | none.json cannot be read. Name a profile with --config
        node --config G/broken.json                       | 2 | broken.json is no JSON at line
        node --config G/key.json                          | 2 | key.json: quic.prot is no key of a profile; known here are host, port
        node --config G/range.json                        | 2 | range.json: quic.port is 70000, allowed is a whole number 0..65535
        node --config G/rendezvous.json                   | 2 | the profile's role is rendezvous, the command is node
        node --set a.b=1                                  | 2 | --set a.b: a is no key of a profile
        node --set quic.port=soon                         | 2 | --set quic.port: quic.port is "soon", allowed is a whole number
        node --set nothing                                | 2 | is no key=value
        node --port soon                                  | 2 | --port is 'soon', which is no whole number
        node --shard-id -1                                | 2 | --shard-id: shard.id is -1
        node --transport tcp                              | 2 | --transport is 'tcp', allowed is quic
        node --set store.directory=D/cache                | 2 | needs an address to know first. Pass --bootstrap HOST:PORT
        node --bootstrap nowhere --set store.directory=D/cache | 2 | 'nowhere' is no address; allowed are host:port
        rendezvous --set cluster.host=192.0.2.7           | 2 | cluster.secretFile must name the cluster's secret
        rendezvous --set cluster.secretFile=D/none        | 1 | none cannot be read. Copy it from a machine of the cluster
        rendezvous --set cluster.secretFile=G/tiny-secret | 1 | has 16..4096 bytes, found 1
        generate --at nowhere --prompt x                  | 1 | 'nowhere' is no address
        generate --prompt x                               | 2 | (--model=FILE | --at=HOST:PORT)
        generate --frob                                   | 2 | --help
        dance                                             | 2 | 'dance'
        demo --nodes 0                                    | 2 | --nodes is 0, allowed 1..32
        demo --nodes few                                  | 2 | 'few' is no whole number
        node --log-level loud                             | 2 | --log-level is 'loud', allowed are error, warn
        """, quoteCharacter = '`')
    void isOneLineWithCauseAndRemedy(String commandLine, int exitCode, String part) throws IOException {
        run(commandLine.replace("G", given.toString()).replace("D", directory.toString()));
        assertEquals(1, errors.size(), () -> String.join("\n", errors));
        String line = errors.getFirst();
        assertTrue(line.startsWith("shoal: "), line);
        assertTrue(line.contains(part), line);
        assertFalse(line.contains("Exception"), line);
        assertEquals(exitCode, exit, line);
        assertEquals("", out, "nothing on standard output");
        try (Stream<Path> files = Files.walk(directory)) {
            assertEquals(List.of(), files.filter(Files::isRegularFile).toList(), "nothing half-written is left");
        }
    }

    @Test
    void aShardThatIsDamagedIsNotJoined() throws IOException {
        for (String name : List.of("shard-0.gguf", "shard-1.gguf")) {
            Files.copy(given.resolve("two").resolve(name), directory.resolve(name));
        }
        byte[] bytes = Files.readAllBytes(directory.resolve("shard-1.gguf"));
        bytes[bytes.length - 1] ^= 1;
        Files.write(directory.resolve("shard-1.gguf"), bytes);
        run("join " + directory + "/shard-0.gguf " + directory + "/shard-1.gguf --out " + directory + "/joined.gguf");
        assertNotEquals(0, exit, out);
        assertTrue(errors.getFirst().contains("hash"), errors::toString);
        assertFalse(Files.exists(directory.resolve("joined.gguf")));
    }

    @Test
    void doctorFindsThatTheBundledModelIsWhole() {
        run("doctor --json --set quic.port=0");
        assertEquals(0, exit, errors::toString);
        assertTrue(out.contains("\"node_can_run\":true"), out);
        assertTrue(out.contains("SHA-256 " + DoctorCommand.BUNDLED_SHA256), out);
        assertTrue(out.contains("\"what\":\"native QUIC\",\"verdict\":\"ok\""), out);
    }

    @Test
    void doctorListsEachDeviceWithAllThatIsKnownOfIt() {
        run("doctor --json --set quic.port=0");
        JsonNode devices = Program.JSON.readTree(out).path("devices");
        long known = KernelChoice.deviceProviders().stream()
                .filter(provider -> provider.readiness() instanceof KernelProvider.Readiness.Ready)
                .mapToLong(provider -> provider.devices().size())
                .sum();
        assertEquals(known, devices.size(), out);
        for (JsonNode device : devices) {
            assertTrue(device.path("id").asString().matches("(opencl|cuda):[0-9]+"), out);
            assertFalse(device.path("name").asString().isEmpty(), out);
            assertFalse(device.path("driver").asString().isEmpty(), out);
            assertTrue(device.path("memory_bytes").asLong() > 0, out);
            assertTrue(device.path("bytes_per_second").asLong() > 0, out);
        }
    }

    @Test
    void doctorSaysWhereNoNodeCanRun() throws IOException {
        Path file = Files.writeString(directory.resolve("file"), "in the way");
        run("doctor --set store.directory=" + file);
        assertEquals(1, exit, out);
        assertTrue(out.lines().anyMatch(line -> line.startsWith("missing  disk")), out);
    }

    private void run(String commandLine) {
        var said = new ByteArrayOutputStream();
        var complained = new ByteArrayOutputStream();
        PrintStream before = System.out;
        PrintStream beforeErrors = System.err;
        System.setOut(new PrintStream(said, true, StandardCharsets.UTF_8));
        System.setErr(new PrintStream(complained, true, StandardCharsets.UTF_8));
        try {
            exit = Main.run(commandLine.split(" +"));
        } finally {
            System.setOut(before);
            System.setErr(beforeErrors);
        }
        out = said.toString(StandardCharsets.UTF_8);
        errors = complained.toString(StandardCharsets.UTF_8).lines().toList();
    }

    private static byte[] bundledModel() throws IOException {
        try (var in = CliBadInputTest.class.getResourceAsStream("/models/stories-q8_0.gguf")) {
            return in.readAllBytes();
        }
    }

    /** Overwrites what stands some bytes behind the first place where a text ends. */
    private static byte[] patched(byte[] model, String text, int distance, String with) {
        byte[] patched = model.clone();
        byte[] bytes = with.getBytes(StandardCharsets.UTF_8);
        System.arraycopy(bytes, 0, patched, endOf(model, text) + distance, bytes.length);
        return patched;
    }

    /** A tensor's type stands behind its name, the count of its dimensions, and these. */
    private static byte[] withTensorType(byte[] model, String tensor, int type) {
        byte[] patched = model.clone();
        ByteBuffer buffer = ByteBuffer.wrap(patched).order(ByteOrder.LITTLE_ENDIAN);
        int dimensions = buffer.getInt(endOf(model, tensor));
        buffer.putInt(endOf(model, tensor) + 4 + 8 * dimensions, type);
        return patched;
    }

    private static int endOf(byte[] model, String text) {
        int at = new String(model, StandardCharsets.ISO_8859_1).indexOf(text);
        assertTrue(at >= 0, text);
        return at + text.length();
    }
}

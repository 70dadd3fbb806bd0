package shoal.codec.gguf;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.management.ThreadMXBean;
import java.io.ByteArrayOutputStream;
import java.lang.foreign.MemorySegment;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Random;
import java.util.function.UnaryOperator;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import shoal.codec.base.MalformedException;

/** One named corruption for each bound of the reader, and damage at random. */
class HostileGgufTest {
    /** Puts a GGUF together by the words of its specification, right or wrong; shares no code with the writer. */
    static final class Raw {
        private final ByteArrayOutputStream out = new ByteArrayOutputStream();

        Raw u8(int value) {
            out.write(value);
            return this;
        }

        Raw u32(long value) {
            out.writeBytes(ByteBuffer.allocate(4)
                    .order(ByteOrder.LITTLE_ENDIAN)
                    .putInt((int) value)
                    .array());
            return this;
        }

        Raw u64(long value) {
            out.writeBytes(ByteBuffer.allocate(8)
                    .order(ByteOrder.LITTLE_ENDIAN)
                    .putLong(value)
                    .array());
            return this;
        }

        Raw text(String text) {
            byte[] utf8 = text.getBytes(StandardCharsets.UTF_8);
            u64(utf8.length);
            out.writeBytes(utf8);
            return this;
        }

        Raw zeros(int count) {
            out.writeBytes(new byte[count]);
            return this;
        }

        Raw toMultipleOf(int alignment) {
            return zeros((alignment - out.size() % alignment) % alignment);
        }

        byte[] bytes() {
            return out.toByteArray();
        }
    }

    static Raw start(long tensors, long keys) {
        return new Raw().u32(0x46554747).u32(3).u64(tensors).u64(keys);
    }

    static Raw tensor(Raw raw, String name, int type, long offset, long... dimensions) {
        raw.text(name).u32(dimensions.length);
        for (long dimension : dimensions) {
            raw.u64(dimension);
        }
        return raw.u32(type).u64(offset);
    }

    /** Two F32 tensors of 8 values each, and three keys. */
    static byte[] good() {
        Raw raw = start(2, 3)
                .text("general.alignment")
                .u32(4)
                .u32(64)
                .text("a")
                .u32(7)
                .u8(1)
                .text("t");
        raw.u32(9).u32(8).u64(2).text("one").text("two");
        tensor(raw, "x", 0, 0, 8);
        tensor(raw, "y", 0, 64, 4, 2);
        return raw.toMultipleOf(64).zeros(64 + 32).bytes();
    }

    static Arguments bad(String expected, byte[] file) {
        return Arguments.of(expected, file);
    }

    static byte[] oneKey(UnaryOperator<Raw> value) {
        return value.apply(start(0, 1).text("k")).bytes();
    }

    static byte[] oneTensor(int dataBytes, String name, int type, long offset, long... dimensions) {
        return tensor(start(1, 0), name, type, offset, dimensions)
                .toMultipleOf(32)
                .zeros(dataBytes)
                .bytes();
    }

    static Stream<Arguments> corruptions() {
        byte[] good = good();
        byte[] bigEndian = ByteBuffer.allocate(24)
                .putInt(0x47475546)
                .putInt(3)
                .putLong(0)
                .putLong(0)
                .array();
        return Stream.of(
                bad("not a GGUF file", new byte[0]),
                bad("not a GGUF file", "GGU".getBytes(StandardCharsets.US_ASCII)),
                bad("not a GGUF file", "PK..................................".getBytes(StandardCharsets.US_ASCII)),
                bad("big-endian", bigEndian),
                bad(
                        "GGUF version is 1 (byte 4), allowed 2..3",
                        new Raw().u32(0x46554747).u32(1).zeros(16).bytes()),
                bad(
                        "GGUF version is 4 (byte 4), allowed 2..3",
                        new Raw().u32(0x46554747).u32(4).zeros(16).bytes()),
                bad("version needs 4 bytes at byte 4 but the file has 6", Arrays.copyOf(good, 6)),
                bad(
                        "tensor count at byte 8 is 18446744073709551615, allowed 0..262,144",
                        start(-1, 0).bytes()),
                bad(
                        "tensor count needs 200,000 entries at byte 16",
                        start(200_000, 0).zeros(100).bytes()),
                bad(
                        "metadata count at byte 16 is 65537, allowed 0..65,536",
                        start(0, 65_537).bytes()),
                bad(
                        "metadata count needs 1,000 entries at byte 24",
                        start(0, 1_000).bytes()),
                bad(
                        "metadata key 0 needs 1099511627776 bytes at byte 32",
                        start(0, 1).u64(1L << 40).zeros(50).bytes()),
                bad(
                        "metadata key 0 needs 18446744073709551615 bytes",
                        start(0, 1).u64(-1).zeros(50).bytes()),
                bad(
                        "metadata key 0 at byte 24 has 65,536 bytes, allowed 0..65,535",
                        start(0, 1).text("k".repeat(65_536)).u32(0).u8(0).bytes()),
                bad("is not UTF-8", start(0, 1).u64(1).u8(0xff).u32(0).u8(0).bytes()),
                bad(
                        "metadata key k at byte 38 is there twice",
                        start(0, 2)
                                .text("k")
                                .u32(0)
                                .u8(0)
                                .text("k")
                                .u32(0)
                                .u8(0)
                                .bytes()),
                bad(
                        "type of metadata key k at byte 33 is 13, allowed 0..12",
                        oneKey(raw -> raw.u32(13).zeros(20))),
                bad(
                        "boolean in metadata key k at byte 37 is 2, allowed 0..1",
                        oneKey(raw -> raw.u32(7).u8(2))),
                bad(
                        "boolean in metadata key k",
                        oneKey(raw -> raw.u32(9).u32(7).u64(2).u8(1).u8(9))),
                bad(
                        "length of k needs 2,147,483,647 entries",
                        oneKey(raw -> raw.u32(9).u32(0).u64(0x7fff_ffff))),
                bad(
                        "length of k at byte 41 is 2147483648, allowed",
                        oneKey(raw -> raw.u32(9).u32(0).u64(1L << 31))),
                bad(
                        "k needs 9 bytes at byte 57",
                        oneKey(raw -> raw.u32(9).u32(8).u64(1).u64(9).zeros(8))),
                bad("nests arrays 5 deep", oneKey(raw -> {
                    raw.u32(9);
                    for (int i = 0; i < 4; i++) {
                        raw.u32(9).u64(1);
                    }
                    return raw.u32(0).u64(0);
                })),
                bad(
                        "general.alignment is",
                        start(0, 1).text("general.alignment").u32(4).u32(48).bytes()),
                bad(
                        "general.alignment is",
                        start(0, 1).text("general.alignment").u32(4).u32(0).bytes()),
                bad(
                        "general.alignment is",
                        start(0, 1)
                                .text("general.alignment")
                                .u32(4)
                                .u32(1 << 21)
                                .bytes()),
                bad(
                        "general.alignment is",
                        start(0, 1).text("general.alignment").u32(5).u32(32).bytes()),
                bad("name of tensor 0 at byte 24 has 1,025 bytes", oneTensor(4, "n".repeat(1_025), 0, 0, 1)),
                bad(
                        "tensor x at byte 57 is there twice",
                        tensor(tensor(start(2, 0), "x", 0, 0, 1), "x", 0, 32, 1)
                                .toMultipleOf(32)
                                .zeros(64)
                                .bytes()),
                bad("tensor x has 5 dimensions at byte 33, allowed 0..4", oneTensor(4, "x", 0, 0, 1, 1, 1, 1, 1)),
                bad("has a dimension of 0", oneTensor(4, "x", 0, 0, 0)),
                bad("has a dimension of -1", oneTensor(4, "x", 0, 0, -1)),
                bad("their product passes 2^63 - 1", oneTensor(4, "x", 0, 0, 1L << 40, 1L << 40)),
                bad("their product passes 2^63 - 1", oneTensor(4, "x", 0, 0, 1L << 62)),
                bad("tensor x has type 4 at byte 45", oneTensor(4, "x", 4, 0, 1)),
                bad("tensor x has type 99 at byte 45", oneTensor(4, "x", 99, 0, 1)),
                bad("rows of 33 values, Q8_0 needs a multiple of 32", oneTensor(68, "x", 8, 0, 33)),
                bad("tensor x has offset 16 at byte 49, allowed are multiples of 32", oneTensor(64, "x", 0, 16, 1)),
                bad("tensor x has offset 18446744073709551584", oneTensor(64, "x", 0, -32, 1)),
                bad("tensor x ends at byte 100 but the file has 96. Download it again.", oneTensor(32, "x", 0, 0, 9)),
                bad("tensor x ends at byte 1,048,644 but the file has 128", oneTensor(64, "x", 0, 1 << 20, 1)),
                bad("tensor x ends past 2^63", oneTensor(64, "x", 0, Long.MAX_VALUE - 31, 8)),
                bad(
                        "tensor y begins at byte 128 but x ends at byte 132",
                        tensor(tensor(start(2, 0), "y", 0, 32, 1), "x", 0, 0, 9)
                                .toMultipleOf(32)
                                .zeros(96)
                                .bytes()),
                bad("dimensions of y needs 28 bytes", Arrays.copyOf(good, 210 - 40)));
    }

    @ParameterizedTest
    @MethodSource("corruptions")
    void isRefusedByName(String expected, byte[] file) {
        SplitTest.refused(expected, () -> GgufReader.read(MemorySegment.ofArray(file)));
    }

    @Test
    void theGoodOneIsGood() {
        Gguf gguf = GgufReader.read(MemorySegment.ofArray(good()));
        assertEquals(64, gguf.alignment());
        assertEquals(true, gguf.booleanValue("a", false));
        assertEquals(List.of("one", "two"), List.of(gguf.requiredTexts("t")));
        assertEquals(List.of(4L, 2L), gguf.requiredTensor("y").dimensions());
        assertEquals(good().length, gguf.dataEnd());
        SplitTest.refused("metadata key nothing is missing", () -> gguf.requiredInt("nothing"));
        SplitTest.refused("metadata key t is", () -> gguf.requiredInt("t"));
        SplitTest.refused("metadata key t: array of TEXT found, expected integers", () -> gguf.requiredInts("t"));
        SplitTest.refused("metadata key a is", () -> gguf.requiredFloat("a"));
    }

    @Test
    void namesInMessagesAreHarmless() {
        String name = "a\n\u001b[2J\u202eb" + "x".repeat(900);
        byte[] file = oneTensor(0, name, 0, 0, 1);
        var refused = assertThrows(MalformedException.class, () -> GgufReader.read(MemorySegment.ofArray(file)));
        assertTrue(String.valueOf(refused.getMessage()).startsWith("tensor a??[2J?bxxx"), refused.getMessage());
        assertTrue(String.valueOf(refused.getMessage()).length() < 600);
        Gguf gguf =
                GgufReader.read(MemorySegment.ofArray(oneKey(raw -> raw.u32(8).text("long text".repeat(100)))));
        SplitTest.refused("metadata key k is text, expected an integer", () -> gguf.requiredInt("k"));
    }

    /** Any start of a file is whole, or says how far to read on; and gets there. */
    @Test
    void theStartOfAFileSaysHowMuchIsMissing() {
        byte[] file = good();
        int steps = 0;
        for (int size = 0; size <= file.length; size++) {
            long have = size;
            while (have < file.length) {
                var start = GgufReader.readStart(MemorySegment.ofArray(Arrays.copyOf(file, (int) have)), file.length);
                if (start instanceof GgufReader.Start.Partial(long needed)) {
                    assertTrue(needed > have && needed <= file.length, needed + " after " + have);
                    have = needed;
                    steps++;
                } else {
                    assertInstanceOf(GgufReader.Start.Whole.class, start);
                    break;
                }
            }
        }
        assertTrue(steps > file.length / 2);
        SplitTest.refused("not a GGUF", () -> GgufReader.readStart(MemorySegment.ofArray(new byte[4]), 1_000));
    }

    /** Bytes changed at random: read, or refused as malformed, with memory in proportion to the file. */
    @Test
    void damageNeverDoesMoreThanRefuse() {
        long seed = Long.getLong("shoal.seed", 11);
        var random = new Random(seed);
        var threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        int refused = 0;
        for (int round = 0; round < 8_000; round++) {
            byte[] file = good();
            for (int i = random.nextInt(3); i >= 0; i--) {
                file[random.nextInt(file.length - 96)] =
                        random.nextBoolean() ? (byte) random.nextInt() : (byte) (random.nextInt(3) - 1);
            }
            byte[] bytes = random.nextInt(5) == 0 ? Arrays.copyOf(file, random.nextInt(file.length)) : file;
            Gguf gguf = readOrNull(bytes); // what is loaded and warmed up by the first read does not count
            long before = threads.getCurrentThreadAllocatedBytes();
            readOrNull(bytes);
            long allocated = threads.getCurrentThreadAllocatedBytes() - before;
            assertTrue(allocated < 50_000, allocated + " bytes, seed " + seed);
            refused += gguf == null ? 1 : 0;
            if (gguf != null) {
                var again = GgufWriter.write(gguf.version(), gguf.metadata(), gguf.tensors());
                assertEquals(gguf.metadata(), again.gguf().metadata());
            }
        }
        assertTrue(refused > 500, refused + " refused, seed " + seed);
    }

    private static Gguf readOrNull(byte[] file) {
        try {
            return GgufReader.read(MemorySegment.ofArray(file));
        } catch (MalformedException refused) {
            return null;
        }
    }

    /** The headers that cost most for their size: much that is tiny. */
    static Stream<Arguments> costly() {
        Raw keys = start(0, 60_000);
        for (int i = 0; i < 60_000; i++) {
            keys.text(String.format("%04x", i)).u32(0).u8(0);
        }
        Raw tensors = start(60_000, 0);
        for (int i = 0; i < 60_000; i++) {
            tensor(tensors, String.format("%04x", i), 24, 32L * i, 1);
        }
        tensors.toMultipleOf(32).zeros(32 * 60_000);
        Raw nested = start(0, 1).text("k").u32(9).u32(9).u64(100_000);
        for (int i = 0; i < 100_000; i++) {
            nested.u32(0).u64(0);
        }
        Raw texts = start(0, 1).text("k").u32(9).u32(8).u64(200_000).zeros(8 * 200_000);
        Raw bytes = start(0, 1).text("k").u32(9).u32(0).u64(2_000_000).zeros(2_000_000);
        return Stream.of(
                Arguments.of("keys", keys.bytes()),
                Arguments.of("tensors", tensors.bytes()),
                Arguments.of("nested arrays", nested.bytes()),
                Arguments.of("empty strings", texts.bytes()),
                Arguments.of("bytes", bytes.bytes()));
    }

    @ParameterizedTest
    @MethodSource("costly")
    void memoryStaysUnderASmallMultipleOfTheFile(String what, byte[] file) {
        var threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        GgufReader.read(MemorySegment.ofArray(file));
        long before = threads.getCurrentThreadAllocatedBytes();
        Gguf gguf = GgufReader.read(MemorySegment.ofArray(file));
        long allocated = threads.getCurrentThreadAllocatedBytes() - before;
        assertEquals(3, gguf.version());
        assertTrue(allocated < 40L * file.length, what + ": " + allocated + " bytes for a file of " + file.length);
    }

    /** What is written is read, and written again to the same bytes. */
    @Test
    void whatIsWrittenIsRead() {
        long seed = Long.getLong("shoal.seed", 5);
        for (int round = 0; round < 300; round++) {
            var random = new Random(seed + round);
            var metadata = new LinkedHashMap<String, MetadataValue>();
            if (random.nextBoolean()) {
                metadata.put("general.alignment", new MetadataValue.UInt32(1L << random.nextInt(9)));
            }
            for (int i = random.nextInt(20); i > 0; i--) {
                metadata.put("key." + i + "ü".repeat(random.nextInt(3)), value(random, 1));
            }
            var tensors = new ArrayList<TensorInfo>();
            for (int i = random.nextInt(10); i > 0; i--) {
                GgmlType type = GgmlType.values()[random.nextInt(GgmlType.values().length)];
                long row = (long) type.blockValues() * (1 + random.nextInt(3));
                List<Long> dimensions = random.nextBoolean() ? List.of(row) : List.of(row, 1L + random.nextInt(4));
                tensors.add(new TensorInfo("tensor." + i, dimensions, type, 0));
            }
            int version = 2 + random.nextInt(2);
            var written = GgufWriter.write(version, metadata, tensors);
            byte[] file = Arrays.copyOf(written.header(), (int) written.fileSize());
            Gguf read = GgufReader.read(MemorySegment.ofArray(file));
            String message = "seed " + (seed + round);
            assertEquals(version, read.version());
            assertEquals(
                    List.copyOf(metadata.entrySet()),
                    List.copyOf(read.metadata().entrySet()),
                    message);
            assertEquals(written.gguf().tensors(), read.tensors(), message);
            assertEquals(written.gguf().dataOffset(), read.dataOffset(), message);
            byte[] again =
                    GgufWriter.write(version, read.metadata(), read.tensors()).header();
            assertArrayEquals(written.header(), again, message);
        }
    }

    private static MetadataValue value(Random random, int depth) {
        return switch (MetadataValue.Type.values()[random.nextInt(13)]) {
            case UINT8 -> new MetadataValue.UInt8(random.nextInt(256));
            case INT8 -> new MetadataValue.Int8((byte) random.nextInt());
            case UINT16 -> new MetadataValue.UInt16(random.nextInt(65_536));
            case INT16 -> new MetadataValue.Int16((short) random.nextInt());
            case UINT32 -> new MetadataValue.UInt32(random.nextLong(1L << 32));
            case INT32 -> new MetadataValue.Int32(random.nextInt());
            case FLOAT32 -> new MetadataValue.Float32((float) random.nextGaussian());
            case BOOL -> new MetadataValue.Bool(random.nextBoolean());
            case TEXT -> new MetadataValue.Text("text " + random.nextInt());
            case ARRAY -> array(random, depth);
            case UINT64 -> new MetadataValue.UInt64(random.nextLong());
            case INT64 -> new MetadataValue.Int64(random.nextLong());
            case FLOAT64 -> new MetadataValue.Float64(random.nextGaussian());
        };
    }

    private static MetadataValue.Array array(Random random, int depth) {
        int size = random.nextInt(4);
        return switch (random.nextInt(depth < 4 ? 5 : 4)) {
            case 0 ->
                MetadataValue.Array.ofTexts(Stream.generate(() -> "s" + random.nextInt())
                        .limit(size)
                        .toList());
            case 1 -> MetadataValue.Array.ofInts(random.ints(size).toArray());
            case 2 -> MetadataValue.Array.ofUnsignedLongs(random.longs(size).toArray());
            case 3 -> MetadataValue.Array.ofFloats(random.nextFloat());
            default ->
                MetadataValue.Array.ofArrays(Stream.generate(() -> array(random, depth + 1))
                        .limit(size)
                        .toList());
        };
    }

    @Test
    void arraysOfEveryIntegerType() {
        Raw raw = start(0, 8);
        int[] types = {0, 1, 2, 3, 4, 5, 10, 11};
        int[] sizes = {1, 1, 2, 2, 4, 4, 8, 8};
        for (int i = 0; i < types.length; i++) {
            raw.text("k" + i).u32(9).u32(types[i]).u64(2);
            raw.u8(7).zeros(sizes[i] - 1);
            for (int b = 0; b < sizes[i]; b++) {
                raw.u8(0xff);
            }
        }
        Gguf gguf = GgufReader.read(MemorySegment.ofArray(raw.bytes()));
        long[] last = {255, -1, 65_535, -1, 0xffff_ffffL, -1, -1, -1};
        for (int i = 0; i < types.length; i++) {
            assertArrayEquals(new long[] {7, last[i]}, gguf.requiredLongs("k" + i));
        }
        assertArrayEquals(new int[] {7, 65_535}, gguf.requiredInts("k2"));
        SplitTest.refused("metadata key k4: element 1 is 4294967295", () -> gguf.requiredInts("k4"));
    }

    @Test
    void textThatIsNotUtf8SurvivesInArrays() {
        byte[] file = start(0, 1)
                .text("k")
                .u32(9)
                .u32(8)
                .u64(2)
                .u64(2)
                .u8(0xff)
                .u8('a')
                .text("b")
                .toMultipleOf(32)
                .bytes();
        Gguf gguf = GgufReader.read(MemorySegment.ofArray(file));
        assertArrayEquals(new String[] {"\ufffda", "b"}, gguf.requiredTexts("k"));
        assertArrayEquals(
                file, GgufWriter.write(3, gguf.metadata(), gguf.tensors()).header());
    }
}

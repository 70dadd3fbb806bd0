package shoal.codec.gguf;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.SequencedMap;
import shoal.codec.base.MalformedException;

/**
 * Reads the header of a GGUF file, version 2 or 3, little-endian (ggml's docs/gguf.md). Everything in it is hostile: no count is
 * believed before that many bytes are there, and what is kept stays under a small multiple of the bytes read.
 *
 * <p>A {@link MalformedException} names the byte at which the file is wrong, what was found and what is allowed.
 */
public final class GgufReader {
    /** A header (metadata and tensor list) of more bytes is refused; the largest vocabularies take about 20 MiB. */
    public static final long MAX_HEADER_BYTES = 256L << 20;

    public static final int MAX_KEYS = 65_536;
    public static final int MAX_TENSORS = 262_144;

    /** llama.cpp's bound as well. */
    public static final int MAX_KEY_BYTES = 65_535;

    /** ggml's own bound is 64, but forks differ. */
    public static final int MAX_TENSOR_NAME_BYTES = 1_024;

    public static final int MAX_ALIGNMENT = 1 << 20;

    static final int MAGIC = 0x46554747; // "GGUF" read as little-endian
    private static final String AGAIN = ". Download it again.";
    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    private final MemorySegment bytes;
    private final long fileSize;
    private final long limit;
    private long position;

    private GgufReader(MemorySegment bytes, long fileSize) {
        if (bytes.byteSize() > fileSize) {
            throw new IllegalArgumentException(
                    "the start of the file has " + bytes.byteSize() + " bytes, the whole file only " + fileSize);
        }
        this.bytes = bytes;
        this.fileSize = fileSize;
        limit = Math.min(fileSize, MAX_HEADER_BYTES);
    }

    /** What the first bytes of a file tell. */
    public sealed interface Start {
        /** The header is here and right. */
        record Whole(Gguf gguf) implements Start {}

        /** The header goes on; at least the first neededBytes of the file are needed, more than were given. */
        record Partial(long neededBytes) implements Start {}
    }

    /** Reads the header of a whole file. Nothing of the result refers to the segment. @throws MalformedException if it is none */
    public static Gguf read(MemorySegment file) {
        return switch (readStart(file, file.byteSize())) {
            case Start.Whole(Gguf gguf) -> gguf;
            case Start.Partial(long needed) -> throw new IllegalStateException("a whole file asked for byte " + needed);
        };
    }

    /** As {@link #read(MemorySegment)}, for a file of fileSize bytes of which only the first are here. */
    public static Start readStart(MemorySegment firstBytes, long fileSize) {
        try {
            return new Start.Whole(new GgufReader(firstBytes, fileSize).header());
        } catch (MoreBytesNeeded more) {
            return new Start.Partial(more.count);
        }
    }

    private Gguf header() {
        if (fileSize < 4 || (bytes.byteSize() >= 4 && bytes.get(INT, 0) != MAGIC)) {
            throw new MalformedException("this is not a GGUF file: it does not begin with the letters GGUF");
        }
        position = 4;
        need("version", 4);
        int version = takeInt();
        if (version != 2 && version != 3) {
            int swapped = Integer.reverseBytes(version);
            if (swapped == 2 || swapped == 3) {
                throw new MalformedException(
                        "this GGUF file is big-endian (byte 4), only little-endian ones can be read."
                                + " Convert it with llama.cpp's gguf_convert_endian.py");
            }
            throw new MalformedException("GGUF version is " + Integer.toUnsignedString(version)
                    + " (byte 4), allowed 2..3. Convert the model again with a current llama.cpp");
        }
        long tensorCount = takeCount("tensor count", MAX_TENSORS, 8 + 4 + 4 + 8);
        long keyCount = takeCount("metadata count", MAX_KEYS, 8 + 4 + 1);
        SequencedMap<String, MetadataValue> metadata = metadata((int) keyCount);
        int alignment = alignment(metadata);
        List<TensorInfo> tensors = tensors((int) tensorCount, alignment);
        long dataOffset = position + (-position & (alignment - 1));
        checkData(tensors, dataOffset);
        return new Gguf(version, metadata, tensors, alignment, dataOffset);
    }

    private SequencedMap<String, MetadataValue> metadata(int count) {
        var metadata = new LinkedHashMap<String, MetadataValue>();
        for (int i = 0; i < count; i++) {
            long start = position;
            String key = takeText("metadata key " + i, MAX_KEY_BYTES);
            int typeId = takeTypeId(key);
            if (metadata.put(key, value(key, MetadataValue.Type.ofId(typeId))) != null) {
                throw new MalformedException("metadata key " + key + " at byte " + grouped(start) + " is there twice");
            }
        }
        return metadata;
    }

    private int takeTypeId(String key) {
        need("type of " + key, 4);
        int id = takeInt();
        if (id < 0 || id >= MetadataValue.Type.count()) {
            throw new MalformedException("type of metadata key " + key + " at byte " + grouped(position - 4) + " is "
                    + Integer.toUnsignedString(id) + ", allowed 0.." + (MetadataValue.Type.count() - 1) + AGAIN);
        }
        return id;
    }

    private MetadataValue value(String key, MetadataValue.Type type) {
        need(key, type.sizeBytes());
        return switch (type) {
            case UINT8 -> new MetadataValue.UInt8(takeByte() & 0xff);
            case INT8 -> new MetadataValue.Int8(takeByte());
            case UINT16 -> new MetadataValue.UInt16(takeShort() & 0xffff);
            case INT16 -> new MetadataValue.Int16(takeShort());
            case UINT32 -> new MetadataValue.UInt32(takeInt() & 0xffff_ffffL);
            case INT32 -> new MetadataValue.Int32(takeInt());
            case FLOAT32 -> new MetadataValue.Float32(Float.intBitsToFloat(takeInt()));
            case BOOL -> new MetadataValue.Bool(takeBoolean(key));
            case TEXT -> new MetadataValue.Text(takeText(key, Integer.MAX_VALUE));
            case ARRAY -> takeArray(key, 1);
            case UINT64 -> new MetadataValue.UInt64(takeLong());
            case INT64 -> new MetadataValue.Int64(takeLong());
            case FLOAT64 -> new MetadataValue.Float64(Double.longBitsToDouble(takeLong()));
        };
    }

    private MetadataValue.Array takeArray(String key, int depth) {
        if (depth > MetadataValue.Array.MAX_DEPTH) {
            throw new MalformedException("metadata key " + key + " nests arrays " + depth + " deep at byte "
                    + grouped(position) + ", allowed 1.." + MetadataValue.Array.MAX_DEPTH);
        }
        MetadataValue.Type type = MetadataValue.Type.ofId(takeTypeId(key));
        int count = (int) takeCount("length of " + key, Integer.MAX_VALUE, type.minSizeBytes());
        long start = position;
        if (type == MetadataValue.Type.ARRAY) {
            var nested = new ArrayList<MetadataValue.Array>();
            for (int i = 0; i < count; i++) {
                nested.add(takeArray(key, depth + 1));
            }
            return new MetadataValue.Array(type, count, new byte[0], List.copyOf(nested));
        }
        if (type == MetadataValue.Type.TEXT) {
            for (int i = 0; i < count; i++) {
                skipText(key);
            }
        } else if (type == MetadataValue.Type.BOOL) {
            need(key, count);
            for (int i = 0; i < count; i++) {
                takeBoolean(key);
            }
        } else {
            long size = (long) count * type.sizeBytes();
            need(key, size);
            position += size;
        }
        byte[] payload = bytes.asSlice(start, position - start).toArray(ValueLayout.JAVA_BYTE);
        return new MetadataValue.Array(type, count, payload, List.of());
    }

    static int alignment(SequencedMap<String, MetadataValue> metadata) {
        return switch (metadata.get("general.alignment")) {
            case null -> Gguf.DEFAULT_ALIGNMENT;
            case MetadataValue.UInt32(long value)
            when value >= 1 && value <= MAX_ALIGNMENT && Long.bitCount(value) == 1 -> (int) value;
            case MetadataValue other ->
                throw new MalformedException("general.alignment is " + other + ", allowed are powers of two of 1.."
                        + grouped(MAX_ALIGNMENT) + " as UInt32" + AGAIN);
        };
    }

    private List<TensorInfo> tensors(int count, int alignment) {
        var tensors = new ArrayList<TensorInfo>();
        var names = new HashSet<String>();
        for (int i = 0; i < count; i++) {
            long start = position;
            String name = takeText("name of tensor " + i, MAX_TENSOR_NAME_BYTES);
            if (!names.add(name)) {
                throw new MalformedException(
                        "tensor " + name + " at byte " + grouped(start) + " is there twice" + AGAIN);
            }
            tensors.add(tensor(name, alignment));
        }
        return tensors;
    }

    private TensorInfo tensor(String name, int alignment) {
        need("dimension count of " + name, 4);
        int dimensionCount = takeInt();
        if (dimensionCount < 0 || dimensionCount > TensorInfo.MAX_DIMENSIONS) {
            throw new MalformedException(
                    "tensor " + name + " has " + Integer.toUnsignedString(dimensionCount) + " dimensions at byte "
                            + grouped(position - 4) + ", allowed 0.." + TensorInfo.MAX_DIMENSIONS + AGAIN);
        }
        need("dimensions of " + name, 8L * dimensionCount + 4 + 8);
        var dimensions = new ArrayList<Long>();
        long start = position;
        for (int i = 0; i < dimensionCount; i++) {
            dimensions.add(takeLong());
        }
        int typeId = takeInt();
        GgmlType type = GgmlType.fromId(typeId);
        if (type == null) {
            throw new MalformedException("tensor " + name + " has type " + Integer.toUnsignedString(typeId)
                    + " at byte " + grouped(position - 4)
                    + ", which ggml does not have (or no longer). Convert the model again");
        }
        long offset = takeLong();
        if (offset < 0 || (offset & (alignment - 1)) != 0) {
            throw new MalformedException("tensor " + name + " has offset " + Long.toUnsignedString(offset) + " at byte "
                    + grouped(position - 8) + ", allowed are multiples of " + alignment + AGAIN);
        }
        try {
            return new TensorInfo(name, dimensions, type, offset);
        } catch (ArithmeticException tooBig) {
            throw new MalformedException(
                    "tensor " + name + " has dimensions " + dimensions + " at byte " + grouped(start)
                            + ", their product passes 2^63 - 1" + AGAIN,
                    tooBig);
        } catch (IllegalArgumentException refused) {
            throw new MalformedException(
                    "tensor " + refused.getMessage() + " (byte " + grouped(start) + ")" + AGAIN, refused);
        }
    }

    private void checkData(List<TensorInfo> tensors, long dataOffset) {
        var byOffset = new ArrayList<>(tensors);
        byOffset.sort(Comparator.comparingLong(TensorInfo::offset));
        long end = 0;
        String before = "";
        for (TensorInfo tensor : byOffset) {
            if (tensor.offset() < end) {
                throw new MalformedException("tensor " + tensor.name() + " begins at byte "
                        + grouped(dataOffset + tensor.offset()) + " but " + before + " ends at byte "
                        + grouped(dataOffset + end) + AGAIN);
            }
            long size = tensor.sizeBytes();
            if (tensor.offset() > fileSize - dataOffset || size > fileSize - dataOffset - tensor.offset()) {
                String last = tensor.offset() > Long.MAX_VALUE - dataOffset - size
                        ? "past 2^63"
                        : "at byte " + grouped(dataOffset + tensor.offset() + size);
                throw new MalformedException(
                        "tensor " + tensor.name() + " ends " + last + " but the file has " + grouped(fileSize) + AGAIN);
            }
            end = tensor.offset() + size;
            before = tensor.name();
        }
    }

    private boolean takeBoolean(String key) {
        byte value = takeByte();
        if (value != 0 && value != 1) {
            throw new MalformedException("boolean in metadata key " + key + " at byte " + grouped(position - 1) + " is "
                    + (value & 0xff) + ", allowed 0..1" + AGAIN);
        }
        return value == 1;
    }

    private String takeText(String what, int maxBytes) {
        long start = position;
        long length = skipText(what);
        if (length > maxBytes) {
            throw new MalformedException(what + " at byte " + grouped(start) + " has " + grouped(length)
                    + " bytes, allowed 0.." + grouped(maxBytes) + AGAIN);
        }
        byte[] utf8 = bytes.asSlice(start + 8, length).toArray(ValueLayout.JAVA_BYTE);
        try {
            return StandardCharsets.UTF_8
                    .newDecoder()
                    .decode(ByteBuffer.wrap(utf8))
                    .toString();
        } catch (CharacterCodingException notUtf8) {
            throw new MalformedException(what + " at byte " + grouped(start + 8) + " is not UTF-8" + AGAIN, notUtf8);
        }
    }

    /** Steps over a string; its bytes are here. Returns their count. */
    private long skipText(String what) {
        need(what, 8);
        long length = takeLong();
        if (length < 0 || length > limit - position) {
            throw pastEnd(what, Long.toUnsignedString(length) + " bytes");
        }
        need(what, length);
        position += length;
        return length;
    }

    /** Reads a count of things that take at least minSizeEach bytes each. */
    private long takeCount(String what, int max, int minSizeEach) {
        need(what, 8);
        long count = takeLong();
        if (count < 0 || count > max) {
            throw new MalformedException(what + " at byte " + grouped(position - 8) + " is "
                    + Long.toUnsignedString(count) + ", allowed 0.." + grouped(max) + AGAIN);
        }
        if (count * minSizeEach > limit - position) {
            throw pastEnd(what, grouped(count) + " entries");
        }
        return count;
    }

    /** Refuses a file that ends before the next size bytes; asks for more where only they are not here yet. */
    private void need(String what, long size) {
        if (size > limit - position) {
            throw pastEnd(what, grouped(size) + " bytes");
        }
        if (size > bytes.byteSize() - position) {
            throw new MoreBytesNeeded(position + size);
        }
    }

    private MalformedException pastEnd(String what, String needed) {
        return new MalformedException(what + " needs " + needed + " at byte " + grouped(position)
                + (limit < fileSize
                        ? " but a header has at most " + grouped(MAX_HEADER_BYTES) + " bytes"
                        : " but the file has " + grouped(fileSize) + " bytes")
                + AGAIN);
    }

    private byte takeByte() {
        return bytes.get(ValueLayout.JAVA_BYTE, position++);
    }

    private short takeShort() {
        int low = takeByte() & 0xff;
        return (short) (low | takeByte() << 8);
    }

    private int takeInt() {
        position += 4;
        return bytes.get(INT, position - 4);
    }

    private long takeLong() {
        position += 8;
        return bytes.get(LONG, position - 8);
    }

    static String grouped(long number) {
        return String.format(Locale.ROOT, "%,d", number);
    }

    /** Not an error: the header goes on behind the bytes that were given. */
    private static final class MoreBytesNeeded extends RuntimeException {
        private static final long serialVersionUID = 1L;
        private final long count;

        MoreBytesNeeded(long count) {
            super(null, null, false, false);
            this.count = count;
        }
    }
}

package shoal.codec.gguf;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.SequencedMap;
import shoal.codec.base.ByteWriter;
import shoal.codec.base.MalformedException;

/** Makes the header of a GGUF file, little-endian, and says where its tensors go. Touches no file. */
public final class GgufWriter {
    private GgufWriter() {}

    /**
     * A header and what it says.
     *
     * @param header up to the data section, padding included; not a copy, read only
     * @param gguf as {@link GgufReader} would read it
     */
    public record Written(byte[] header, Gguf gguf) {
        /** The whole file, with the padding behind the last tensor that ggml writes too. */
        public long fileSize() {
            return align(gguf.dataEnd(), gguf.alignment());
        }
    }

    /** As {@link #write(int, SequencedMap, Collection)}, in the current version, 3. */
    public static Written write(SequencedMap<String, MetadataValue> metadata, Collection<TensorInfo> tensors) {
        return write(3, metadata, tensors);
    }

    /**
     * Lays the tensors out one behind the other in the order given, each at a multiple of the alignment that the metadata has
     * (32 where it has none); their offsets are not looked at.
     *
     * @param version 2 or 3
     * @throws IllegalArgumentException if two tensors have one name
     * @throws MalformedException if the reader would refuse the alignment, or so many keys or tensors
     */
    public static Written write(
            int version, SequencedMap<String, MetadataValue> metadata, Collection<TensorInfo> tensors) {
        if (version != 2 && version != 3) {
            throw new IllegalArgumentException("version is " + version + ", allowed 2..3");
        }
        if (metadata.size() > GgufReader.MAX_KEYS || tensors.size() > GgufReader.MAX_TENSORS) {
            throw new MalformedException("a file of " + metadata.size() + " keys and " + tensors.size()
                    + " tensors can't be written, allowed are " + GgufReader.MAX_KEYS + " and "
                    + GgufReader.MAX_TENSORS);
        }
        int alignment = GgufReader.alignment(metadata);
        List<TensorInfo> placed = place(tensors, alignment);
        var out = new ByteWriter(4_096);
        putInt(out, GgufReader.MAGIC);
        putInt(out, version);
        putLong(out, placed.size());
        putLong(out, metadata.size());
        metadata.forEach((key, value) -> {
            putText(out, key);
            putInt(out, value.type().id());
            putValue(out, value);
        });
        for (TensorInfo tensor : placed) {
            putText(out, tensor.name());
            putInt(out, tensor.dimensions().size());
            for (long dimension : tensor.dimensions()) {
                putLong(out, dimension);
            }
            putInt(out, tensor.type().id());
            putLong(out, tensor.offset());
        }
        int dataOffset = Math.toIntExact(align(out.size(), alignment));
        out.putBytes(new byte[dataOffset - out.size()]);
        return new Written(out.toBytes(), new Gguf(version, metadata, placed, alignment, dataOffset));
    }

    static long align(long position, int alignment) {
        return position + (-position & (alignment - 1));
    }

    private static List<TensorInfo> place(Collection<TensorInfo> tensors, int alignment) {
        var placed = new ArrayList<TensorInfo>(tensors.size());
        var names = new HashSet<String>();
        long offset = 0;
        for (TensorInfo tensor : tensors) {
            if (!names.add(tensor.name())) {
                throw new IllegalArgumentException("tensor " + tensor.name() + " is there twice");
            }
            placed.add(tensor.withOffset(offset));
            offset = align(Math.addExact(offset, tensor.sizeBytes()), alignment);
        }
        return placed;
    }

    private static void putValue(ByteWriter out, MetadataValue value) {
        switch (value) {
            case MetadataValue.UInt8(int number) -> out.putByte(number);
            case MetadataValue.Int8(byte number) -> out.putByte(number);
            case MetadataValue.UInt16(int number) -> out.putShort(Short.reverseBytes((short) number));
            case MetadataValue.Int16(short number) -> out.putShort(Short.reverseBytes(number));
            case MetadataValue.UInt32(long number) -> putInt(out, (int) number);
            case MetadataValue.Int32(int number) -> putInt(out, number);
            case MetadataValue.UInt64(long number) -> putLong(out, number);
            case MetadataValue.Int64(long number) -> putLong(out, number);
            case MetadataValue.Float32(float number) -> putInt(out, Float.floatToRawIntBits(number));
            case MetadataValue.Float64(double number) -> putLong(out, Double.doubleToRawLongBits(number));
            case MetadataValue.Bool(boolean truth) -> out.putByte(truth ? 1 : 0);
            case MetadataValue.Text(String text) -> putText(out, text);
            case MetadataValue.Array array -> putArray(out, array);
        }
    }

    private static void putArray(ByteWriter out, MetadataValue.Array array) {
        putInt(out, array.elementType().id());
        putLong(out, array.size());
        if (array.elementType() == MetadataValue.Type.ARRAY) {
            array.arrays().forEach(inner -> putArray(out, inner));
        } else {
            out.putBytes(array.payload());
        }
    }

    private static void putText(ByteWriter out, String text) {
        byte[] utf8 = text.getBytes(StandardCharsets.UTF_8);
        putLong(out, utf8.length);
        out.putBytes(utf8);
    }

    private static void putInt(ByteWriter out, int value) {
        out.putInt(Integer.reverseBytes(value));
    }

    private static void putLong(ByteWriter out, long value) {
        out.putLong(Long.reverseBytes(value));
    }
}

package shoal.codec.gguf;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import shoal.codec.base.Bounds;
import shoal.codec.base.ByteWriter;
import shoal.codec.base.MalformedException;

/** One value of a GGUF file's metadata: the thirteen types of the specification (gguf.md, gguf_metadata_value_type). */
public sealed interface MetadataValue {
    /** The type's number and, for those of fixed size, its bytes. */
    enum Type {
        UINT8(1),
        INT8(1),
        UINT16(2),
        INT16(2),
        UINT32(4),
        INT32(4),
        FLOAT32(4),
        BOOL(1),
        TEXT(0),
        ARRAY(0),
        UINT64(8),
        INT64(8),
        FLOAT64(8);

        private static final List<Type> ALL = List.of(values());

        private final int sizeBytes;

        Type(int sizeBytes) {
            this.sizeBytes = sizeBytes;
        }

        /** The number that stands in a file: 0..12. */
        public int id() {
            return ordinal();
        }

        /** 0 for text and arrays, which say their own size. */
        public int sizeBytes() {
            return sizeBytes;
        }

        /** Fewest bytes that one value takes. */
        int minSizeBytes() {
            return this == TEXT ? 8 : this == ARRAY ? 12 : sizeBytes;
        }

        boolean isInteger() {
            return switch (this) {
                case UINT8, INT8, UINT16, INT16, UINT32, INT32, UINT64, INT64, BOOL -> true;
                case FLOAT32, FLOAT64, TEXT, ARRAY -> false;
            };
        }

        /** The type numbered id; the caller has checked that it is 0..12. */
        static Type ofId(int id) {
            return ALL.get(id);
        }

        static int count() {
            return ALL.size();
        }
    }

    Type type();

    /** 0..255. */
    record UInt8(int value) implements MetadataValue {
        public UInt8 {
            Bounds.requireRange("uint8", value, 0, 255);
        }

        @Override
        public Type type() {
            return Type.UINT8;
        }
    }

    record Int8(byte value) implements MetadataValue {
        @Override
        public Type type() {
            return Type.INT8;
        }
    }

    /** 0..65,535. */
    record UInt16(int value) implements MetadataValue {
        public UInt16 {
            Bounds.requireRange("uint16", value, 0, 65_535);
        }

        @Override
        public Type type() {
            return Type.UINT16;
        }
    }

    record Int16(short value) implements MetadataValue {
        @Override
        public Type type() {
            return Type.INT16;
        }
    }

    /** 0..2^32 - 1. */
    record UInt32(long value) implements MetadataValue {
        public UInt32 {
            Bounds.requireRange("uint32", value, 0, 0xffff_ffffL);
        }

        @Override
        public Type type() {
            return Type.UINT32;
        }
    }

    record Int32(int value) implements MetadataValue {
        @Override
        public Type type() {
            return Type.INT32;
        }
    }

    /** The bits of an unsigned value: past 2^63 - 1 it is negative here. */
    record UInt64(long value) implements MetadataValue {
        @Override
        public Type type() {
            return Type.UINT64;
        }
    }

    record Int64(long value) implements MetadataValue {
        @Override
        public Type type() {
            return Type.INT64;
        }
    }

    record Float32(float value) implements MetadataValue {
        @Override
        public Type type() {
            return Type.FLOAT32;
        }
    }

    record Float64(double value) implements MetadataValue {
        @Override
        public Type type() {
            return Type.FLOAT64;
        }
    }

    record Bool(boolean value) implements MetadataValue {
        @Override
        public Type type() {
            return Type.BOOL;
        }
    }

    record Text(String value) implements MetadataValue {
        @Override
        public Type type() {
            return Type.TEXT;
        }
    }

    /**
     * Values of one type, kept as the bytes that the file has: a vocabulary of 150,000 words costs little more here than
     * there, and strings that are not UTF-8 survive being written again. The accessors decode at each call.
     */
    final class Array implements MetadataValue {
        /** How deep arrays may lie in arrays; the outermost counts. */
        public static final int MAX_DEPTH = 4;

        private final Type elementType;
        private final int size;
        private final byte[] payload;
        private final List<Array> nested;

        /** Takes over payload: the elements as they stand in the file, behind the count; empty if nested holds them. */
        Array(Type elementType, int size, byte[] payload, List<Array> nested) {
            this.elementType = elementType;
            this.size = size;
            this.payload = payload;
            this.nested = nested;
        }

        public static Array ofTexts(List<String> texts) {
            var out = new ByteWriter(16 * texts.size());
            for (String text : texts) {
                byte[] utf8 = text.getBytes(StandardCharsets.UTF_8);
                out.putLong(Long.reverseBytes(utf8.length)).putBytes(utf8);
            }
            return new Array(Type.TEXT, texts.size(), out.toBytes(), List.of());
        }

        public static Array ofInts(int... values) {
            var buffer = ByteBuffer.allocate(4 * values.length).order(ByteOrder.LITTLE_ENDIAN);
            buffer.asIntBuffer().put(values);
            return new Array(Type.INT32, values.length, buffer.array(), List.of());
        }

        /** Values of 0..2^32 - 1, given by their bits. */
        public static Array ofUnsignedInts(int... values) {
            return new Array(Type.UINT32, values.length, ofInts(values).payload, List.of());
        }

        /** Values of 0..2^64 - 1, given by their bits. */
        public static Array ofUnsignedLongs(long... values) {
            var buffer = ByteBuffer.allocate(8 * values.length).order(ByteOrder.LITTLE_ENDIAN);
            buffer.asLongBuffer().put(values);
            return new Array(Type.UINT64, values.length, buffer.array(), List.of());
        }

        public static Array ofFloats(float... values) {
            var buffer = ByteBuffer.allocate(4 * values.length).order(ByteOrder.LITTLE_ENDIAN);
            buffer.asFloatBuffer().put(values);
            return new Array(Type.FLOAT32, values.length, buffer.array(), List.of());
        }

        /** Arrays in an array; they need not be of one type. @throws IllegalArgumentException past {@link #MAX_DEPTH} */
        public static Array ofArrays(List<Array> arrays) {
            var array = new Array(Type.ARRAY, arrays.size(), new byte[0], List.copyOf(arrays));
            Bounds.requireRange("depth of arrays", array.depth(), 1, MAX_DEPTH);
            return array;
        }

        @Override
        public Type type() {
            return Type.ARRAY;
        }

        public Type elementType() {
            return elementType;
        }

        /** How many elements there are. */
        public int size() {
            return size;
        }

        /** The elements of an array of arrays. */
        public List<Array> arrays() {
            expect(elementType == Type.ARRAY, "arrays");
            return nested;
        }

        /** The elements as text; what is not UTF-8 becomes U+FFFD, as {@link String} does it. */
        public String[] texts() {
            expect(elementType == Type.TEXT, "strings");
            ByteBuffer in = reading();
            var out = new String[size];
            for (int i = 0; i < size; i++) {
                int length = (int) in.getLong();
                out[i] = new String(payload, in.position(), length, StandardCharsets.UTF_8);
                in.position(in.position() + length);
            }
            return out;
        }

        /** The elements of a float32 or float64 array. */
        public float[] floats() {
            expect(elementType == Type.FLOAT32 || elementType == Type.FLOAT64, "floating-point numbers");
            ByteBuffer in = reading();
            var out = new float[size];
            for (int i = 0; i < size; i++) {
                out[i] = elementType == Type.FLOAT32 ? in.getFloat() : (float) in.getDouble();
            }
            return out;
        }

        /** The elements of an array of any integer type; 0 and 1 for booleans. */
        public long[] longs() {
            expect(elementType.isInteger(), "integers");
            ByteBuffer in = reading();
            var out = new long[size];
            for (int i = 0; i < size; i++) {
                out[i] = switch (elementType) {
                    case UINT8, BOOL -> in.get() & 0xff;
                    case INT8 -> in.get();
                    case UINT16 -> in.getShort() & 0xffff;
                    case INT16 -> in.getShort();
                    case UINT32 -> in.getInt() & 0xffff_ffffL;
                    case INT32 -> in.getInt();
                    case UINT64, INT64 -> in.getLong();
                    case FLOAT32, FLOAT64, TEXT, ARRAY -> throw new IllegalStateException("no integer: " + elementType);
                };
            }
            return out;
        }

        /** As {@link #longs}. @throws MalformedException if one doesn't fit */
        public int[] ints() {
            long[] longs = longs();
            var out = new int[longs.length];
            for (int i = 0; i < out.length; i++) {
                out[i] = (int) longs[i];
                if (out[i] != longs[i]) {
                    throw new MalformedException("element " + i + " is " + longs[i] + ", allowed " + Integer.MIN_VALUE
                            + ".." + Integer.MAX_VALUE);
                }
            }
            return out;
        }

        /** The elements' bytes as the file has them; empty for an array of arrays. Not a copy: read only. */
        byte[] payload() {
            return payload;
        }

        int depth() {
            int deepest = 0;
            for (Array inner : nested) {
                deepest = Math.max(deepest, inner.depth());
            }
            return deepest + 1;
        }

        private ByteBuffer reading() {
            return ByteBuffer.wrap(payload).order(ByteOrder.LITTLE_ENDIAN);
        }

        private void expect(boolean holds, String what) {
            if (!holds) {
                throw new MalformedException("array of " + elementType + " found, expected " + what);
            }
        }

        @Override
        public boolean equals(Object other) {
            return other instanceof Array array
                    && elementType == array.elementType
                    && size == array.size
                    && Arrays.equals(payload, array.payload)
                    && nested.equals(array.nested);
        }

        @Override
        public int hashCode() {
            return 31 * (31 * elementType.hashCode() + Arrays.hashCode(payload)) + nested.hashCode();
        }

        @Override
        public String toString() {
            return "Array[" + elementType + " × " + size + "]";
        }
    }
}

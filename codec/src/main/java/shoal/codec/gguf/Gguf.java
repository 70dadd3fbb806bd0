package shoal.codec.gguf;

import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SequencedMap;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.MalformedException;

/**
 * What the header of a GGUF file says. Immutable; holds no tensor data and no file.
 *
 * <p>The typed look-ups give the key's name with every complaint. A number may be of any integer or floating-point type,
 * since writers differ there.
 */
public final class Gguf {
    public static final int DEFAULT_ALIGNMENT = 32;

    private final int version;
    private final SequencedMap<String, MetadataValue> metadata;
    private final List<TensorInfo> tensors;
    private final Map<String, TensorInfo> byName;
    private final int alignment;
    private final long dataOffset;

    /** The reader and writer have checked what they pass. */
    Gguf(
            int version,
            SequencedMap<String, MetadataValue> metadata,
            List<TensorInfo> tensors,
            int alignment,
            long dataOffset) {
        this.version = version;
        this.metadata = Collections.unmodifiableSequencedMap(new LinkedHashMap<>(metadata));
        this.tensors = List.copyOf(tensors);
        this.alignment = alignment;
        this.dataOffset = dataOffset;
        byName = HashMap.newHashMap(tensors.size());
        for (TensorInfo tensor : tensors) {
            byName.put(tensor.name(), tensor);
        }
    }

    /** 2 or 3. */
    public int version() {
        return version;
    }

    /** In the file's order. */
    public SequencedMap<String, MetadataValue> metadata() {
        return metadata;
    }

    /** In the file's order; empty for a vocabulary file. */
    public List<TensorInfo> tensors() {
        return tensors;
    }

    public @Nullable TensorInfo tensor(String name) {
        return byName.get(name);
    }

    /** @throws MalformedException naming the tensor if it is missing */
    public TensorInfo requiredTensor(String name) {
        TensorInfo tensor = byName.get(name);
        if (tensor == null) {
            throw new MalformedException("tensor " + name + " is missing");
        }
        return tensor;
    }

    /** A power of two; every tensor starts at a multiple of it behind {@link #dataOffset}. */
    public int alignment() {
        return alignment;
    }

    /** The byte of the file where the data section starts. */
    public long dataOffset() {
        return dataOffset;
    }

    /** The byte of the file where this tensor starts. */
    public long fileOffset(TensorInfo tensor) {
        return dataOffset + tensor.offset();
    }

    /** The byte behind the last tensor, without padding; the data section's start if there is no tensor. */
    public long dataEnd() {
        long end = dataOffset;
        for (TensorInfo tensor : tensors) {
            end = Math.max(end, fileOffset(tensor) + tensor.sizeBytes());
        }
        return end;
    }

    /** The model's architecture, such as {@code llama}. */
    public String architecture() {
        return requiredText("general.architecture");
    }

    public @Nullable String text(String key) {
        return switch (metadata.get(key)) {
            case null -> null;
            case MetadataValue.Text(String value) -> value;
            case MetadataValue other -> throw wrongType(key, other, "text");
        };
    }

    public String requiredText(String key) {
        String value = text(key);
        if (value == null) {
            throw missing(key);
        }
        return value;
    }

    public int intValue(String key, int absent) {
        return metadata.containsKey(key) ? requiredInt(key) : absent;
    }

    public int requiredInt(String key) {
        long value = requiredLong(key);
        if (value != (int) value) {
            throw new MalformedException(
                    key + " is " + value + ", allowed " + Integer.MIN_VALUE + ".." + Integer.MAX_VALUE);
        }
        return (int) value;
    }

    /** @throws MalformedException also for an unsigned value past 2^63 - 1 */
    public long requiredLong(String key) {
        return switch (required(key)) {
            case MetadataValue.UInt8(int value) -> value;
            case MetadataValue.Int8(byte value) -> value;
            case MetadataValue.UInt16(int value) -> value;
            case MetadataValue.Int16(short value) -> value;
            case MetadataValue.UInt32(long value) -> value;
            case MetadataValue.Int32(int value) -> value;
            case MetadataValue.UInt64(long value) when value >= 0 -> value;
            case MetadataValue.Int64(long value) -> value;
            case MetadataValue other -> throw wrongType(key, other, "an integer");
        };
    }

    public float floatValue(String key, float absent) {
        return metadata.containsKey(key) ? requiredFloat(key) : absent;
    }

    public float requiredFloat(String key) {
        return switch (required(key)) {
            case MetadataValue.Float32(float value) -> value;
            case MetadataValue.Float64(double value) -> (float) value;
            case MetadataValue.Text other -> throw wrongType(key, other, "a number");
            case MetadataValue.Array other -> throw wrongType(key, other, "a number");
            case MetadataValue.Bool other -> throw wrongType(key, other, "a number");
            case MetadataValue _ -> requiredLong(key);
        };
    }

    public boolean booleanValue(String key, boolean absent) {
        return switch (metadata.get(key)) {
            case null -> absent;
            case MetadataValue.Bool(boolean value) -> value;
            case MetadataValue other -> throw wrongType(key, other, "true or false");
        };
    }

    public MetadataValue.@Nullable Array array(String key) {
        return switch (metadata.get(key)) {
            case null -> null;
            case MetadataValue.Array array -> array;
            case MetadataValue other -> throw wrongType(key, other, "an array");
        };
    }

    public String @Nullable [] texts(String key) {
        return metadata.containsKey(key) ? requiredTexts(key) : null;
    }

    public String[] requiredTexts(String key) {
        try {
            return requiredArray(key).texts();
        } catch (MalformedException refused) {
            throw named(key, refused);
        }
    }

    public float @Nullable [] floats(String key) {
        return metadata.containsKey(key) ? requiredFloats(key) : null;
    }

    public float[] requiredFloats(String key) {
        try {
            return requiredArray(key).floats();
        } catch (MalformedException refused) {
            throw named(key, refused);
        }
    }

    /** Integers of any type, or booleans as 0 and 1. */
    public int @Nullable [] ints(String key) {
        return metadata.containsKey(key) ? requiredInts(key) : null;
    }

    public int[] requiredInts(String key) {
        try {
            return requiredArray(key).ints();
        } catch (MalformedException refused) {
            throw named(key, refused);
        }
    }

    /** As {@link #requiredInts}; an unsigned number past 2^63 - 1 becomes negative. */
    public long[] requiredLongs(String key) {
        try {
            return requiredArray(key).longs();
        } catch (MalformedException refused) {
            throw named(key, refused);
        }
    }

    private MetadataValue.Array requiredArray(String key) {
        MetadataValue.Array array = array(key);
        if (array == null) {
            throw missing(key);
        }
        return array;
    }

    private MetadataValue required(String key) {
        MetadataValue value = metadata.get(key);
        if (value == null) {
            throw missing(key);
        }
        return value;
    }

    private static MalformedException missing(String key) {
        return new MalformedException("metadata key " + key + " is missing");
    }

    private static MalformedException wrongType(String key, MetadataValue found, String expected) {
        String shown = found instanceof MetadataValue.Text ? "text" : found.toString();
        return new MalformedException("metadata key " + key + " is " + shown + ", expected " + expected);
    }

    private static MalformedException named(String key, MalformedException refused) {
        String message = String.valueOf(refused.getMessage());
        return message.startsWith("metadata key ")
                ? refused
                : new MalformedException("metadata key " + key + ": " + message, refused);
    }
}

package shoal.bridge.model;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import shoal.bridge.kernel.Kernels;
import shoal.bridge.kernel.PreparedWeights;
import shoal.codec.base.LayerRange;
import shoal.codec.base.MalformedException;
import shoal.codec.gguf.GgmlType;
import shoal.codec.gguf.Gguf;
import shoal.codec.gguf.TensorInfo;

/** Hands a source's tensors to kernels, each checked by name, shape and type first. */
public final class Weights {
    private static final ValueLayout.OfFloat FLOAT =
            ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    /** Layers beyond 5 digits are refused elsewhere. Frequencies that old files repeat per layer are not needed. */
    private static final Pattern LAYER_TENSOR =
            Pattern.compile("blk\\.[0-9]{1,5}\\.(?!attn_rot_embd|attn\\.rot_embd).*");

    private final TensorSource source;
    private final Kernels kernels;

    private final Set<String> taken = new HashSet<>();

    public Weights(TensorSource source, Kernels kernels) {
        this.source = source;
        this.kernels = kernels;
    }

    public Gguf header() {
        return source.header();
    }

    public boolean has(String name) {
        return source.header().tensor(name) != null;
    }

    /** A matrix (rows, columns), which a file writes as [columns, rows]. */
    public PreparedWeights matrix(String name, int rows, int columns) {
        return prepare(name, rows, columns, List.of((long) columns, (long) rows));
    }

    /** Rows firstRow .. firstRow + rows - 1 of a matrix (allRows, columns), as a matrix of their own. */
    public PreparedWeights matrixRows(String name, int allRows, int columns, int firstRow, int rows) {
        TensorInfo tensor = matrixTensor(name, List.of((long) columns, (long) allRows));
        long rowBytes = tensor.type().sizeBytes(columns);
        return kernels.prepare(
                tensor.type(), rows, columns, source.tensor(tensor).asSlice(firstRow * rowBytes, rows * rowBytes));
    }

    /** Experts' matrices one after another: (experts * rows, columns), which a file writes as [columns, rows, experts]. */
    public PreparedWeights stackedMatrix(String name, int experts, int rows, int columns) {
        int all;
        try {
            all = Math.multiplyExact(experts, rows);
        } catch (ArithmeticException tooMany) {
            throw new MalformedException(
                    "tensor " + name + ": " + experts + " experts of " + rows + " rows are too many", tooMany);
        }
        return prepare(name, all, columns, List.of((long) columns, (long) rows, (long) experts));
    }

    /** An F32 vector. */
    public float[] vector(String name, int size) {
        return vector(name, List.of((long) size));
    }

    private float[] vector(String name, List<Long> dimensions) {
        TensorInfo tensor = checked(name, dimensions);
        if (tensor.type() != GgmlType.F32) {
            throw new MalformedException("tensor " + name + " has type " + tensor.type() + ", supported is F32");
        }
        float[] values = source.tensor(tensor).toArray(FLOAT);
        for (int i = 0; i < values.length; i++) {
            if (!Float.isFinite(values[i])) {
                throw new MalformedException("tensor " + name + " has the value " + values[i] + " at " + i
                        + "; the file is damaged, get it again");
            }
        }
        return values;
    }

    /** As {@link #vector}, null if there is no such tensor. */
    public float @Nullable [] optionalVector(String name, int size) {
        return has(name) ? vector(name, size) : null;
    }

    /** Experts' vectors one after another, null if there is no such tensor. */
    public float @Nullable [] optionalStackedVector(String name, int experts, int size) {
        return has(name) ? vector(name, List.of((long) size, (long) experts)) : null;
    }

    /** @throws MalformedException if a layer of the range has a tensor that no one asked for: the result would be wrong */
    public void requireAllTaken(LayerRange range) {
        for (TensorInfo tensor : header().tensors()) {
            String name = tensor.name();
            if (!taken.contains(name) && LAYER_TENSOR.matcher(name).matches() && range.contains(layer(name))) {
                throw new MalformedException("tensor " + name + " has no place in architecture "
                        + header().architecture() + " as it is known here; this variant is not supported");
            }
        }
    }

    private static int layer(String name) {
        return Integer.parseInt(name, 4, name.indexOf('.', 4), 10);
    }

    private PreparedWeights prepare(String name, int rows, int columns, List<Long> dimensions) {
        TensorInfo tensor = matrixTensor(name, dimensions);
        MemorySegment bytes = source.tensor(tensor);
        return kernels.prepare(tensor.type(), rows, columns, bytes);
    }

    private TensorInfo matrixTensor(String name, List<Long> dimensions) {
        TensorInfo tensor = checked(name, dimensions);
        if (!kernels.supportedTypes().contains(tensor.type())) {
            throw new MalformedException(
                    "tensor " + name + " has type " + tensor.type() + ", which is not supported; supported are "
                            + kernels.supportedTypes().stream()
                                    .sorted()
                                    .map(GgmlType::name)
                                    .collect(Collectors.joining(", ")));
        }
        return tensor;
    }

    private TensorInfo checked(String name, List<Long> dimensions) {
        TensorInfo tensor = source.header().requiredTensor(name);
        taken.add(name);
        if (!withoutTrailingOnes(tensor.dimensions()).equals(withoutTrailingOnes(dimensions))) {
            boolean tokens = name.equals("token_embd.weight") || name.equals("output.weight");
            throw new MalformedException("tensor " + name + " has shape " + tensor.dimensions() + ", expected "
                    + dimensions + (tokens ? "; the vocabulary has " + dimensions.getLast() + " tokens" : ""));
        }
        return tensor;
    }

    private static List<Long> withoutTrailingOnes(List<Long> dimensions) {
        int size = dimensions.size();
        while (size > 1 && dimensions.get(size - 1) == 1) {
            size--;
        }
        return dimensions.subList(0, size);
    }
}

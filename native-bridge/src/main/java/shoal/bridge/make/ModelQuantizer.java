package shoal.bridge.make;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.function.LongConsumer;
import shoal.bridge.kernel.scalar.Dequantizer;
import shoal.bridge.kernel.scalar.ScalarOperations;
import shoal.bridge.model.ModelFile;
import shoal.codec.base.MalformedException;
import shoal.codec.gguf.GgmlType;
import shoal.codec.gguf.Gguf;
import shoal.codec.gguf.GgufWriter;
import shoal.codec.gguf.MetadataValue;
import shoal.codec.gguf.TensorInfo;

/**
 * One model file to another of other tensor types: the file that llama.cpp's llama-quantize writes, bit for bit, metadata and order of
 * tensors included. Parts of tensors are read, quantised and written one after the other.
 */
public final class ModelQuantizer {
    private static final int PART_VALUES = 1 << 20;
    private static final int QUANTISATION_VERSION = 2;

    /**
     * What is asked for.
     *
     * @param pure every matrix gets the main type of the file type, none of them more bits
     * @param requantise from a quantised source too, which adds one loss to the other
     * @param threads that compute; the result does not depend on them
     */
    public record Request(FileType type, boolean pure, boolean requantise, int threads) {}

    /** @param types how many tensors of each type the new file has */
    public record Result(long bytesBefore, long bytesAfter, Map<GgmlType, Integer> types) {}

    private ModelQuantizer() {}

    /**
     * Writes the new file by way of a temporary one beside it.
     *
     * @param progress hears the bytes written so far
     * @throws MalformedException if a source is quantised and that was not asked for, a value is not finite, or a type can't be made
     * @throws IOException in one line if a file can't be read or written
     */
    public static Result quantise(Path in, Path out, Request request, LongConsumer progress) throws IOException {
        if (Files.exists(out) && Files.isSameFile(in, out)) {
            throw new IOException(out + " is the file that is read. Name another one to write.");
        }
        try (ModelFile source = ModelFile.open(in);
                ExecutorService pool = Executors.newFixedThreadPool(request.threads)) {
            Gguf header = source.header();
            List<TensorInfo> before = Mixture.ordered(header.tensors());
            List<TensorInfo> after = planned(header, before, request);
            GgufWriter.Written written = GgufWriter.write(metadata(header, request.type), after);
            try (NewFile file = NewFile.create(out, written.fileSize())) {
                file.write(ByteBuffer.wrap(written.header()));
                for (int i = 0; i < before.size(); i++) {
                    TensorInfo target = written.gguf().tensors().get(i);
                    file.padTo(written.gguf().fileOffset(target));
                    write(before.get(i), source.tensor(before.get(i)), target.type(), pool, request.threads, file);
                    progress.accept(file.position());
                }
                file.padTo(written.fileSize());
                file.finish();
            }
            var types = new TreeMap<GgmlType, Integer>();
            after.forEach(tensor -> types.merge(tensor.type(), 1, Integer::sum));
            return new Result(source.sizeBytes(), written.fileSize(), types);
        }
    }

    private static List<TensorInfo> planned(Gguf header, List<TensorInfo> before, Request request) {
        String architecture = header.architecture();
        int heads = header.intValue(architecture + ".attention.head_count", 1);
        var mixture = new Mixture(
                request.type,
                request.pure,
                before,
                architecture,
                header.intValue(architecture + ".block_count", 0),
                header.intValue(architecture + ".expert_count", 0),
                heads,
                header.intValue(architecture + ".attention.head_count_kv", heads));
        var after = new ArrayList<TensorInfo>();
        for (TensorInfo tensor : before) {
            GgmlType type = mixture.typeOf(tensor);
            if (type != tensor.type()) {
                if (tensor.type().blockValues() > 1 && !request.requantise) {
                    throw new MalformedException("tensor " + tensor.name() + " is " + tensor.type()
                            + " already; quantising it again loses more. Take the F16 or F32 file,"
                            + " or add --allow-requantize");
                }
                if (!Quantizer.knows(type)) {
                    throw new MalformedException("quantising to " + type + " is not supported (tensor " + tensor.name()
                            + "); supported are F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, IQ4_NL, Q4_K_S,"
                            + " Q4_K_M, Q5_K_S, Q5_K_M, Q6_K");
                }
                ScalarOperations.dequantizer(tensor.type()); // refuses by name what can't be read
            }
            after.add(new TensorInfo(tensor.name(), tensor.dimensions(), type, 0));
        }
        return after;
    }

    /** All keys of the source, the two about types at the end, none about a split. */
    private static LinkedHashMap<String, MetadataValue> metadata(Gguf header, FileType type) {
        var keys = new LinkedHashMap<String, MetadataValue>(header.metadata());
        for (String gone : List.of(
                "general.quantization_version",
                "general.file_type",
                "split.no",
                "split.count",
                "split.tensors.count")) {
            keys.remove(gone);
        }
        keys.put("general.quantization_version", new MetadataValue.UInt32(QUANTISATION_VERSION));
        keys.put("general.file_type", new MetadataValue.UInt32(type.id()));
        return keys;
    }

    private static void write(
            TensorInfo tensor, MemorySegment bytes, GgmlType type, ExecutorService pool, int threads, NewFile file)
            throws IOException {
        if (type == tensor.type()) {
            for (long at = 0; at < bytes.byteSize(); at += PART_VALUES) {
                file.write(bytes.asSlice(at, Math.min(PART_VALUES, bytes.byteSize() - at))
                        .asByteBuffer());
            }
            return;
        }
        long count = tensor.elementCount();
        int part = PART_VALUES; // a multiple of every block
        for (long first = 0; first < count; ) {
            var running = new ArrayList<Future<byte[]>>();
            for (int thread = 0; thread < threads && first < count; thread++) {
                long from = first;
                int values = (int) Math.min(part, count - first);
                running.add(pool.submit(() -> part(tensor, bytes, type, from, values)));
                first += values;
            }
            for (Future<byte[]> each : running) {
                file.write(ByteBuffer.wrap(await(each)));
            }
        }
    }

    private static byte[] part(TensorInfo tensor, MemorySegment bytes, GgmlType type, long from, int values) {
        float[] x = new float[values];
        Dequantizer dequantizer = ScalarOperations.dequantizer(tensor.type());
        dequantizer.dequantise(bytes, tensor.type().sizeBytes(from), values, x, 0);
        for (int i = 0; i < values; i++) {
            if (!Float.isFinite(x[i])) {
                throw new MalformedException("tensor " + tensor.name() + " has the value " + x[i] + " at " + (from + i)
                        + "; a model with such weights is damaged, get it again");
            }
        }
        byte[] out = new byte[Math.toIntExact(type.sizeBytes(values))];
        new Quantizer().quantise(type, x, 0, values, MemorySegment.ofArray(out), 0);
        return out;
    }

    private static byte[] await(Future<byte[]> future) throws IOException {
        try {
            return future.get();
        } catch (InterruptedException stopped) {
            Thread.currentThread().interrupt();
            throw new IOException("quantising was interrupted", stopped);
        } catch (ExecutionException failure) {
            if (failure.getCause() instanceof RuntimeException cause) {
                throw cause;
            }
            throw new IllegalStateException(failure.getCause());
        }
    }
}

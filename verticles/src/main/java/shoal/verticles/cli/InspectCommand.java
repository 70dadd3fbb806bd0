package shoal.verticles.cli;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import shoal.bridge.kernel.KernelChoice;
import shoal.bridge.kernel.KernelSettings;
import shoal.bridge.kernel.Kernels;
import shoal.bridge.model.ModelConfig;
import shoal.bridge.model.ModelFile;
import shoal.bridge.model.StageSettings;
import shoal.bridge.model.arch.Architectures;
import shoal.bridge.model.text.ChatTemplate;
import shoal.bridge.model.text.Tokenizer;
import shoal.bridge.model.text.Tokenizers;
import shoal.codec.base.LayerRange;
import shoal.codec.base.MalformedException;
import shoal.codec.gguf.GgmlType;
import shoal.codec.gguf.Gguf;
import shoal.codec.gguf.MetadataValue;
import shoal.codec.gguf.ShardKeys;
import shoal.codec.gguf.SplitSet;
import shoal.codec.gguf.TensorInfo;
import tools.jackson.databind.json.JsonMapper;

/** What is in a GGUF file, and whether it runs here. */
@Command(
        name = "inspect",
        description = "Show what a GGUF file holds, and what of it is not supported.",
        mixinStandardHelpOptions = true)
final class InspectCommand implements Callable<Integer> {
    private static final int SHOWN_ELEMENTS = 6;
    private static final int SHOWN_TEXT = 160;

    @Parameters(index = "0", paramLabel = "FILE", description = "A GGUF file, or any one of a split set.")
    @SuppressWarnings("NullAway.Init")
    private Path path;

    @Option(names = "--tensors", description = "List every tensor: type, shape, offset, bytes.")
    private boolean tensors;

    @Option(names = "--json", description = "Print one JSON object.")
    private boolean json;

    @Override
    public Integer call() throws IOException {
        try (ModelFile file = ModelFile.open(path)) {
            Map<String, Object> found = described(file);
            System.out.print(json ? JsonMapper.shared().writeValueAsString(found) + "\n" : text(found));
            return CommandLine.ExitCode.OK;
        } catch (MalformedException malformed) {
            throw LocalModel.inFile(path, malformed);
        }
    }

    private Map<String, Object> described(ModelFile file) {
        Gguf header = file.header();
        var problems = new ArrayList<String>();
        var found = new LinkedHashMap<String, Object>();
        found.put("file", path.toString());
        List<String> parts = SplitSet.fileNames(String.valueOf(path.getFileName()));
        if (parts.size() > 1) {
            found.put("files", parts);
        }
        found.put("bytes", file.sizeBytes());
        found.put("version", header.version());
        found.put("alignment", header.alignment());
        found.put("architecture", String.valueOf(header.text("general.architecture")));
        found.put("name", String.valueOf(header.text("general.name")));
        found.put("tensor_count", header.tensors().size());
        found.put(
                "parameters",
                header.tensors().stream().mapToLong(TensorInfo::elementCount).sum());
        found.put("types", types(header));
        attempt(problems, () -> found.put("measures", measures(Architectures.config(header))));
        attempt(problems, () -> found.put("tokenizer", tokenizer(header)));
        found.put("chat_template", header.metadata().containsKey("tokenizer.chat_template"));
        if (header.metadata().containsKey("tokenizer.chat_template")) {
            attempt(problems, () -> ChatTemplate.of(header));
        }
        if (header.tensors().isEmpty()) {
            found.put("note", "the file has no tensors: it is a vocabulary file");
        } else if (header.metadata().containsKey(ShardKeys.LAYERS_FIRST)) {
            attempt(problems, () -> {
                var layers = new LayerRange(
                        header.requiredInt(ShardKeys.LAYERS_FIRST), header.requiredInt(ShardKeys.LAYERS_LAST));
                found.put("note", "the file is a shard: layers " + layers);
                open(file, layers);
            });
        } else {
            attempt(problems, () -> open(file, Architectures.config(header).allLayers()));
        }
        found.put("problems", problems.stream().distinct().toList());
        var metadata = new LinkedHashMap<String, Object>();
        header.metadata().forEach((key, value) -> metadata.put(key, shown(value)));
        found.put("metadata", metadata);
        if (tensors) {
            found.put(
                    "tensors",
                    header.tensors().stream()
                            .map(tensor -> tensor(header, tensor, parts.size() > 1))
                            .toList());
        }
        return found;
    }

    /** As a stage opens it: every tensor's name, shape and type are looked at, no weights are read. */
    private static void open(ModelFile file, LayerRange layers) {
        var settings = new KernelSettings("scalar", 1);
        try (Kernels kernels = KernelChoice.of(settings).provider().open(settings)) {
            Architectures.open(file, layers, StageSettings.of(kernels)).close();
        }
    }

    private static void attempt(List<String> problems, Runnable step) {
        try {
            step.run();
        } catch (MalformedException | IllegalArgumentException refused) {
            problems.add(String.valueOf(refused.getMessage()));
        }
    }

    private static Map<String, Object> types(Gguf header) {
        var types = new TreeMap<GgmlType, long[]>();
        for (TensorInfo tensor : header.tensors()) {
            long[] sums = types.computeIfAbsent(tensor.type(), _ -> new long[3]);
            sums[0]++;
            sums[1] += tensor.elementCount();
            sums[2] += tensor.sizeBytes();
        }
        var told = new LinkedHashMap<String, Object>();
        types.forEach((type, sums) -> {
            var entry = new LinkedHashMap<String, Object>();
            entry.put("tensors", sums[0]);
            entry.put("parameters", sums[1]);
            entry.put("bytes", sums[2]);
            told.put(type.name(), entry);
        });
        return told;
    }

    private static Map<String, Object> measures(ModelConfig config) {
        var told = new LinkedHashMap<String, Object>();
        told.put("layers", config.layers());
        told.put("hidden", config.hidden());
        told.put("heads", config.heads());
        told.put("kv_heads", config.kvHeads());
        told.put("head_size", config.headSize());
        told.put("feed_forward", config.feedForward());
        told.put("vocabulary", config.vocabulary());
        told.put("context_length", config.contextLength());
        told.put("rope_base", config.ropeBase());
        if (config.experts() > 0) {
            told.put("experts", config.experts());
            told.put("experts_used", config.expertsUsed());
        }
        return told;
    }

    private static Map<String, Object> tokenizer(Gguf header) {
        Tokenizer tokenizer = Tokenizers.of(header);
        var told = new LinkedHashMap<String, Object>();
        told.put("model", header.requiredText("tokenizer.ggml.model"));
        String pre = header.text("tokenizer.ggml.pre");
        if (pre != null) {
            told.put("pre", pre);
        }
        told.put("tokens", tokenizer.size());
        told.put("end_of_generation", tokenizer.endOfGeneration());
        return told;
    }

    private static Map<String, Object> tensor(Gguf header, TensorInfo tensor, boolean split) {
        var told = new LinkedHashMap<String, Object>();
        told.put("name", tensor.name());
        told.put("type", tensor.type().name());
        told.put("shape", tensor.dimensions());
        if (!split) {
            told.put("offset", header.fileOffset(tensor));
        }
        told.put("bytes", tensor.sizeBytes());
        return told;
    }

    /** Long arrays and texts by their beginning; JSON keeps numbers as numbers. */
    private static @Nullable Object shown(MetadataValue value) {
        return switch (value) {
            case MetadataValue.UInt8(int number) -> number;
            case MetadataValue.Int8(byte number) -> number;
            case MetadataValue.UInt16(int number) -> number;
            case MetadataValue.Int16(short number) -> number;
            case MetadataValue.UInt32(long number) -> number;
            case MetadataValue.Int32(int number) -> number;
            case MetadataValue.UInt64(long number) -> Long.toUnsignedString(number);
            case MetadataValue.Int64(long number) -> number;
            case MetadataValue.Float32(float number) -> number;
            case MetadataValue.Float64(double number) -> number;
            case MetadataValue.Bool(boolean truth) -> truth;
            case MetadataValue.Text(String text) -> text;
            case MetadataValue.Array array -> shown(array);
        };
    }

    private static String shown(MetadataValue.Array array) {
        String first = switch (array.elementType()) {
            case TEXT -> beginning(Arrays.asList(array.texts()));
            case FLOAT32, FLOAT64 -> {
                var floats = new ArrayList<Object>();
                for (float number : array.floats()) {
                    floats.add(number);
                }
                yield beginning(floats);
            }
            case ARRAY -> "arrays";
            case UINT8, INT8, UINT16, INT16, UINT32, INT32, UINT64, INT64, BOOL ->
                beginning(Arrays.stream(array.longs()).boxed().toList());
        };
        return "[" + first + "] (" + array.size() + " × "
                + array.elementType().name().toLowerCase(Locale.ROOT) + ")";
    }

    private static String beginning(List<?> all) {
        String text = String.join(
                ", ", all.stream().limit(SHOWN_ELEMENTS).map(String::valueOf).toList());
        return all.size() > SHOWN_ELEMENTS ? text + ", …" : text;
    }

    private String text(Map<String, Object> found) {
        var text = new StringBuilder();
        found.forEach((key, value) -> {
            if (key.equals("problems")) {
                problems(text, (List<?>) value);
            } else if (key.equals("types")) {
                types(text, (Map<?, ?>) value);
            } else if (value instanceof Map<?, ?> map) {
                boolean isMetadata = key.equals("metadata");
                text.append(key).append(":\n");
                map.forEach((inner, each) -> text.append("  ")
                        .append(isMetadata ? inner : words(inner))
                        .append(" = ")
                        .append(oneLine(each))
                        .append('\n'));
            } else if (key.equals("tensors")) {
                text.append("tensors:\n");
                for (Object each : (List<?>) value) {
                    Map<?, ?> tensor = (Map<?, ?>) each;
                    text.append(String.format(
                            Locale.ROOT,
                            "  %-40s %-7s %-24s %,15d bytes%s%n",
                            oneLine(tensor.get("name")),
                            tensor.get("type"),
                            tensor.get("shape"),
                            (Long) tensor.get("bytes"),
                            tensor.containsKey("offset")
                                    ? " at " + String.format(Locale.ROOT, "%,d", (Long) tensor.get("offset"))
                                    : ""));
                }
            } else {
                text.append(words(key))
                        .append(": ")
                        .append(
                                value instanceof Long number
                                        ? String.format(Locale.ROOT, "%,d", number)
                                        : oneLine(value))
                        .append('\n');
            }
        });
        return text.toString();
    }

    private static String words(Object key) {
        return printable(key).replace('_', ' ');
    }

    private static void types(StringBuilder text, Map<?, ?> types) {
        text.append(String.format(
                Locale.ROOT, "  %-8s %8s %17s %17s %12s%n", "type", "tensors", "parameters", "bytes", "bits each"));
        types.forEach((type, each) -> {
            Map<?, ?> sums = (Map<?, ?>) each;
            long parameters = (Long) Objects.requireNonNull(sums.get("parameters"));
            long bytes = (Long) Objects.requireNonNull(sums.get("bytes"));
            text.append(String.format(
                    Locale.ROOT,
                    "  %-8s %,8d %,17d %,17d %12.2f%n",
                    type,
                    (Long) sums.get("tensors"),
                    parameters,
                    bytes,
                    8.0 * bytes / Math.max(1, parameters)));
        });
    }

    private static void problems(StringBuilder text, List<?> problems) {
        if (problems.isEmpty()) {
            text.append("runs here: yes\n");
        } else {
            text.append("runs here: no\n");
            problems.forEach(
                    problem -> text.append("  ").append(printable(problem)).append('\n'));
        }
    }

    /** Control characters of a hostile file must not reach the terminal. */
    private static String printable(@Nullable Object value) {
        return String.valueOf(value).replace("\n", "\\n").replaceAll("\\p{Cntrl}", "?");
    }

    private static String oneLine(@Nullable Object value) {
        String text = printable(value);
        return text.length() > SHOWN_TEXT ? text.substring(0, SHOWN_TEXT) + "…" : text;
    }
}

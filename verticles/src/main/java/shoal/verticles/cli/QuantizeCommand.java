package shoal.verticles.cli;

import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import shoal.bridge.kernel.KernelSettings;
import shoal.bridge.make.FileType;
import shoal.bridge.make.ModelQuantizer;
import shoal.codec.base.MalformedException;
import shoal.verticles.config.ProfileException;
import tools.jackson.databind.json.JsonMapper;

/** A model in fewer bits. */
@Command(
        name = "quantize",
        description = "Write a model in other tensor types: the same bytes as llama.cpp's llama-quantize.",
        mixinStandardHelpOptions = true)
final class QuantizeCommand implements Callable<Integer> {
    @Parameters(index = "0", paramLabel = "IN", description = "A GGUF file in F32, F16 or BF16.")
    @SuppressWarnings("NullAway.Init")
    private Path in;

    @Parameters(index = "1", paramLabel = "OUT", description = "The file to write.")
    @SuppressWarnings("NullAway.Init")
    private Path out;

    @Parameters(
            index = "2",
            paramLabel = "TYPE",
            description =
                    "F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, IQ4_NL, Q4_K_S, Q4_K_M, Q5_K_S, Q5_K_M or Q6_K.")
    @SuppressWarnings("NullAway.Init")
    private String type;

    @Option(
            names = "--pure",
            description = "Give every matrix that one type; else some get more bits, as llama.cpp has it.")
    private boolean pure;

    @Option(names = "--allow-requantize", description = "Take a quantised file too, though each time loses more.")
    private boolean requantise;

    @Option(
            names = "--threads",
            defaultValue = "0",
            paramLabel = "N",
            description = "Computing threads, 0 for one a core.")
    private int threads;

    @Option(names = "--json", description = "Print one JSON object.")
    private boolean json;

    @Override
    public Integer call() throws IOException {
        if (threads < 0 || threads > KernelSettings.MAX_THREADS) {
            throw new ProfileException("--threads is " + threads + ", allowed 0.." + KernelSettings.MAX_THREADS + ".");
        }
        int count = threads == 0 ? KernelSettings.defaults().threads() : threads;
        var progress = new ProgressLine("writing " + out);
        ModelQuantizer.Result result;
        try {
            result = ModelQuantizer.quantise(
                    in, out, new ModelQuantizer.Request(FileType.of(type), pure, requantise, count), progress::bytes);
        } catch (MalformedException malformed) {
            throw LocalModel.inFile(in, malformed);
        }
        progress.end();
        Map<String, Object> told = new LinkedHashMap<>();
        told.put("file", out.toString());
        told.put("bytes_before", result.bytesBefore());
        told.put("bytes", result.bytesAfter());
        told.put("tensor_types", result.types());
        System.out.println(
                json
                        ? JsonMapper.shared().writeValueAsString(told)
                        : String.format(
                                Locale.ROOT,
                                "%s  %,d bytes, from %,d (%.1f %%); tensors: %s",
                                out,
                                result.bytesAfter(),
                                result.bytesBefore(),
                                100.0 * result.bytesAfter() / result.bytesBefore(),
                                result.types()));
        return CommandLine.ExitCode.OK;
    }
}

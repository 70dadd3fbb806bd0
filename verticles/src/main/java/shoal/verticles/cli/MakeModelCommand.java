package shoal.verticles.cli;

import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import shoal.bridge.make.FileType;
import shoal.bridge.make.RandomModel;
import shoal.bridge.make.Recipe;
import shoal.verticles.config.ProfileException;
import tools.jackson.databind.json.JsonMapper;

/** A model of random weights, for benches and tests. */
@Command(
        name = "make-model",
        description = "Write a model of random weights: the measures and the speed of a real one, and no sense.",
        mixinStandardHelpOptions = true)
final class MakeModelCommand implements Callable<Integer> {
    @Option(names = "--like", paramLabel = "NAME", description = "Whose measures, such as llama-1b; --list has all.")
    private @Nullable String like;

    @Option(names = "--list", description = "List what --like and --type take.")
    private boolean list;

    @Option(
            names = "--type",
            defaultValue = "Q8_0",
            paramLabel = "TYPE",
            description =
                    "Tensor types, as llama.cpp names them: F16, Q8_0, Q4_0, Q4_K_M … (default: ${DEFAULT-VALUE}).")
    @SuppressWarnings("NullAway.Init")
    private String type;

    @Option(names = "--pure", description = "Give every matrix that one type, not llama.cpp's mixture.")
    private boolean pure;

    @Option(
            names = "--seed",
            defaultValue = "1",
            paramLabel = "N",
            description = "The same seed gives the same file (default: ${DEFAULT-VALUE}).")
    private long seed;

    @Option(names = "--out", paramLabel = "FILE", description = "The file to write.")
    private @Nullable Path out;

    @Option(names = "--json", description = "Print {\"file\":…,\"bytes\":…}.")
    private boolean json;

    @Override
    public Integer call() throws IOException {
        if (list) {
            for (Recipe recipe : Recipe.all()) {
                System.out.printf(
                        Locale.ROOT,
                        "%-18s %-12s %3d layers of %5d, vocabulary %,d%s%n",
                        recipe.name(),
                        recipe.family().architecture(),
                        recipe.layers(),
                        recipe.hidden(),
                        recipe.vocabulary(),
                        recipe.experts() == 0 ? "" : ", " + recipe.experts() + " experts");
            }
            System.out.println("types: "
                    + String.join(
                            ", ",
                            java.util.Arrays.stream(FileType.values())
                                    .map(FileType::name)
                                    .toList()));
            return CommandLine.ExitCode.OK;
        }
        String name = like;
        Path target = out;
        if (name == null || target == null) {
            throw new ProfileException("make-model needs --like NAME and --out FILE; --list shows the names.");
        }
        Recipe recipe = Recipe.of(name);
        FileType wanted = FileType.of(type);
        var progress = new ProgressLine("writing " + target);
        long bytes = RandomModel.write(recipe, wanted, pure, seed, target, progress::bytes);
        progress.end();
        Map<String, Object> result = new LinkedHashMap<>();
        result.put("file", target.toString());
        result.put("like", name);
        result.put("type", wanted.name());
        result.put("seed", seed);
        result.put("bytes", bytes);
        System.out.println(
                json
                        ? JsonMapper.shared().writeValueAsString(result)
                        : String.format(Locale.ROOT, "%s  %,d bytes", target, bytes));
        return CommandLine.ExitCode.OK;
    }
}

package shoal.verticles.cli;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import shoal.bridge.model.ModelFile;
import shoal.bridge.model.text.Tokenizers;
import shoal.codec.base.MalformedException;
import tools.jackson.databind.json.JsonMapper;

/** Text to token ids. */
@Command(
        name = "tokenize",
        description = "Show the token ids that a model reads a text as.",
        mixinStandardHelpOptions = true)
final class TokenizeCommand implements Callable<Integer> {
    @Option(
            names = "--model",
            required = true,
            paramLabel = "FILE",
            description = "A GGUF file; its metadata is enough.")
    @SuppressWarnings("NullAway.Init")
    private Path model;

    @Option(names = "--no-special", description = "Add no special tokens and read none in the text.")
    private boolean noSpecial;

    @Option(names = "--json", description = "Print {\"tokens\":[…]}.")
    private boolean json;

    @Parameters(index = "0", paramLabel = "TEXT")
    @SuppressWarnings("NullAway.Init")
    private String text;

    @Override
    public Integer call() throws IOException {
        try (ModelFile file = ModelFile.open(model)) {
            var tokens = LocalModel.boxed(Tokenizers.of(file.header()).encode(text, !noSpecial, !noSpecial));
            System.out.println(
                    json
                            ? JsonMapper.shared().writeValueAsString(Map.of("tokens", tokens))
                            : tokens.stream().map(String::valueOf).collect(Collectors.joining(" ")));
            return CommandLine.ExitCode.OK;
        } catch (MalformedException malformed) {
            throw LocalModel.inFile(model, malformed);
        }
    }
}

package shoal.bridge.model.arch;

import java.util.List;
import java.util.stream.Collectors;
import shoal.bridge.kernel.CompiledStage;
import shoal.bridge.model.Architecture;
import shoal.bridge.model.ModelConfig;
import shoal.bridge.model.Stage;
import shoal.bridge.model.StageMemory;
import shoal.bridge.model.StageSettings;
import shoal.bridge.model.TensorSource;
import shoal.bridge.model.Weights;
import shoal.codec.base.LayerRange;
import shoal.codec.base.MalformedException;
import shoal.codec.gguf.Gguf;

/** The table of architectures, and the door to a {@link Stage}. */
public final class Architectures {
    private static final List<Architecture> ALL = List.of(new LlamaArchitecture());

    private Architectures() {}

    /** @throws MalformedException if it is not supported, naming those that are */
    public static Architecture of(Gguf header) {
        String name = header.architecture();
        for (Architecture architecture : ALL) {
            if (architecture.name().equals(name)) {
                return architecture;
            }
        }
        throw new MalformedException("architecture " + name + " is not supported; supported are "
                + ALL.stream().map(Architecture::name).collect(Collectors.joining(", ")));
    }

    /** The model's measures; a vocabulary file will do. */
    public static ModelConfig config(Gguf header) {
        return of(header).config(header);
    }

    /** What a stage of these layers will take. */
    public static StageMemory memory(Gguf header, LayerRange range) {
        return StageMemory.of(header, config(header), range);
    }

    /**
     * Opens the layers of a range. The tensors stay mapped; nothing is read yet but vectors.
     *
     * @throws MalformedException naming the key or tensor that is missing, wrong, or not supported
     */
    public static Stage open(TensorSource source, LayerRange range, StageSettings settings) {
        Gguf header = source.header();
        Architecture architecture = of(header);
        ModelConfig config = architecture.config(header);
        if (range.last() >= config.layers()) {
            throw new MalformedException(
                    "layers " + range + " are asked for, the model has 0-" + (config.layers() - 1));
        }
        CompiledStage compiled = settings.kernels()
                .compile(architecture.program(config, range, new Weights(source, settings.kernels())));
        return new Stage(
                config,
                range,
                compiled,
                Math.min(settings.maxContext(), config.contextLength()),
                StageMemory.of(header, config, range));
    }
}

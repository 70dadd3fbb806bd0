package shoal.bridge.model.arch;

import java.util.List;
import shoal.bridge.kernel.CacheType;
import shoal.bridge.kernel.CompiledStage;
import shoal.bridge.kernel.StageProgram;
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
    private static final List<Architecture> ALL = List.of(
            new LlamaArchitecture(),
            new Smollm3Architecture(),
            new Qwen2Architecture(),
            new Qwen2MoeArchitecture(),
            new Qwen3Architecture(),
            new Qwen3MoeArchitecture(),
            new Gemma2Architecture(),
            new Gemma3Architecture(),
            new Phi3Architecture(),
            new GptOssArchitecture(),
            new OlmoeArchitecture(),
            new GraniteArchitecture(),
            new Starcoder2Architecture(),
            new StablelmArchitecture());

    private Architectures() {}

    /** What {@code general.architecture} may be. */
    public static List<String> names() {
        return ALL.stream().map(Architecture::name).toList();
    }

    /** @throws MalformedException if it is not supported, naming those that are */
    public static Architecture of(Gguf header) {
        String kind = header.text("general.type");
        String name = header.architecture();
        if ("adapter".equals(kind)) {
            throw new MalformedException("this file is a LoRA adapter (general.type is adapter), not a model;"
                    + " adapters are not supported, name a model that they are merged into");
        }
        if ("mmproj".equals(kind) || name.equals("clip")) {
            throw new MalformedException("this file is a projector for images or sound (general.type is " + kind
                    + ", architecture " + name + "), not a model; projectors are not supported, name the model itself");
        }
        for (Architecture architecture : ALL) {
            if (architecture.name().equals(name)) {
                return architecture;
            }
        }
        throw new MalformedException(
                "architecture " + name + " is not supported; supported are " + String.join(", ", names()));
    }

    /** The model's measures; a vocabulary file will do. */
    public static ModelConfig config(Gguf header) {
        return of(header).config(header);
    }

    /** What a stage of these layers will take with keys and values in F32, the most they can. */
    public static StageMemory memory(Gguf header, LayerRange range) {
        return memory(header, range, CacheType.F32);
    }

    /** What a stage of these layers will take. */
    public static StageMemory memory(Gguf header, LayerRange range, CacheType cacheType) {
        return StageMemory.of(header, config(header), range, cacheType);
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
        StageMemory memory = StageMemory.of(header, config, range, settings.cacheType());
        int contextLength = Math.min(settings.maxContext(), config.contextLength());
        Weights weights = new Weights(source, settings.kernels());
        StageProgram program = architecture.program(config, range, weights, contextLength);
        weights.requireAllTaken(range);
        CompiledStage compiled = settings.kernels().compile(program.withCacheType(settings.cacheType()));
        return new Stage(config, range, compiled, contextLength, memory, source);
    }
}

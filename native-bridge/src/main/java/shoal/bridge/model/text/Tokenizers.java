package shoal.bridge.model.text;

import shoal.codec.base.MalformedException;
import shoal.codec.gguf.Gguf;

/** The table of tokenizer models. */
public final class Tokenizers {
    private Tokenizers() {}

    /** Reads metadata alone; a vocabulary file will do. @throws MalformedException naming a model that is not supported */
    public static Tokenizer of(Gguf header) {
        String model = header.requiredText("tokenizer.ggml.model");
        return switch (model) {
            case "llama" -> new SentencePieceTokenizer(Vocabulary.read(header));
            default ->
                throw new MalformedException(
                        "tokenizer model " + model + " is not supported; supported is llama (SentencePiece)");
        };
    }
}

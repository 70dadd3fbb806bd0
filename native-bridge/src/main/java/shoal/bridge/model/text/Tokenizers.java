package shoal.bridge.model.text;

import shoal.bridge.model.text.Vocabulary.Defaults;
import shoal.codec.base.MalformedException;
import shoal.codec.gguf.Gguf;

/** The table of tokenizer models. */
public final class Tokenizers {
    private Tokenizers() {}

    /** Reads metadata alone; a vocabulary file will do. @throws MalformedException naming a model that is not supported */
    public static Tokenizer of(Gguf header) {
        String model = header.requiredText("tokenizer.ggml.model");
        return switch (model) {
            case "llama" -> new SentencePieceTokenizer(Vocabulary.read(header, Defaults.SENTENCE_PIECE));
            case "gpt2" -> {
                String name = header.text("tokenizer.ggml.pre");
                PreTokenizer words = PreTokenizer.of(name == null ? "default" : name);
                yield new BpeTokenizer(
                        Vocabulary.read(header, Defaults.bytePair(words.addsBegin())),
                        words,
                        header.requiredTexts("tokenizer.ggml.merges"));
            }
            case "bert" -> {
                boolean lowerCase = header.booleanValue("tokenizer.ggml.normalizer.lowercase", true);
                yield new WordPieceTokenizer(
                        Vocabulary.read(header, Defaults.WORD_PIECE),
                        lowerCase,
                        header.booleanValue("tokenizer.ggml.normalizer.strip_accents", lowerCase));
            }
            default ->
                throw new MalformedException(
                        "tokenizer model " + model
                                + " is not supported; supported are llama (SentencePiece), gpt2 (byte pairs) and bert (WordPiece)");
        };
    }
}

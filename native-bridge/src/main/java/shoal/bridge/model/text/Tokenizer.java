package shoal.bridge.model.text;

import java.util.Set;

/** Text to token ids, and each id's bytes. Immutable; any number of threads. */
public interface Tokenizer {
    /**
     * @param addSpecial put the model's own first and last tokens around it, where its metadata says so
     * @param parseSpecial read the text of control tokens as those tokens; else only user-defined ones are
     */
    int[] encode(String text, boolean addSpecial, boolean parseSpecial);

    /**
     * What the token stands for, perhaps a part of a character only. Control tokens give nothing unless special, then their text.
     * @throws IllegalArgumentException if there is no such id
     */
    byte[] bytes(int token, boolean special);

    /** Ids 0..size-1. */
    int size();

    /** Ids that end a generation. */
    Set<Integer> endOfGeneration();

    /** -1 if the model has none. */
    int beginOfText();
}

package shoal.bridge.model.text;

import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;

/**
 * Tokens to text as they come: holds back the bytes of an unfinished character. Bytes that are no UTF-8 become U+FFFD. One
 * generation, one thread.
 */
public final class Detokenizer {
    private final Tokenizer tokenizer;
    private final boolean special;
    private final CharsetDecoder decoder = StandardCharsets.UTF_8
            .newDecoder()
            .onMalformedInput(CodingErrorAction.REPLACE)
            .onUnmappableCharacter(CodingErrorAction.REPLACE);
    private ByteBuffer pending = ByteBuffer.allocate(0);

    /** @param special whether control tokens show as text */
    public Detokenizer(Tokenizer tokenizer, boolean special) {
        this.tokenizer = tokenizer;
        this.special = special;
    }

    /** The characters that this token completes; may be empty. */
    public String next(int token) {
        return decode(tokenizer.bytes(token, special), false);
    }

    /** What is left at the end: nothing, or U+FFFD for a character that never ended. */
    public String end() {
        return decode(new byte[0], true);
    }

    private String decode(byte[] bytes, boolean last) {
        ByteBuffer in = ByteBuffer.allocate(pending.remaining() + bytes.length)
                .put(pending)
                .put(bytes)
                .flip();
        CharBuffer out = CharBuffer.allocate(in.remaining() + 1);
        decoder.decode(in, out, last);
        if (last) {
            decoder.flush(out);
            decoder.reset();
        }
        pending = in.slice();
        return out.flip().toString();
    }
}

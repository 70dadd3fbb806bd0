package shoal.codec.base;

/**
 * Bytes from outside are not what their format says. The message is one line: what was found, and what is allowed. A
 * stranger's words in it are made harmless: control and format characters become '?', and it is cut at 500 characters.
 */
public final class MalformedException extends RuntimeException {
    private static final long serialVersionUID = 1L;
    private static final int MAX_CHARACTERS = 500;

    public MalformedException(String message) {
        super(oneLine(message));
    }

    public MalformedException(String message, Throwable cause) {
        super(oneLine(message), cause);
    }

    private static String oneLine(String message) {
        var line = new StringBuilder();
        for (int i = 0; i < message.length() && i < MAX_CHARACTERS; i++) {
            char c = message.charAt(i);
            switch (Character.getType(c)) {
                case Character.CONTROL, Character.FORMAT, Character.LINE_SEPARATOR, Character.PARAGRAPH_SEPARATOR ->
                    line.append('?');
                default -> line.append(c);
            }
        }
        return message.length() > MAX_CHARACTERS ? line + "…" : line.toString();
    }
}

package shoal.bridge.model.text.jinja;

/** What a rendering may still use. A template comes with a model from anywhere: it must end soon and hold little memory. */
final class Budget {
    /** Characters of one text, and of the output. */
    static final int MAX_TEXT = 16 << 20;

    /** Steps, and characters and items made, of one rendering. */
    static final long MAX_WORK = 100_000_000;

    /** Expressions, blocks and macros within each other. */
    static final int MAX_DEPTH = 700;

    private long left = MAX_WORK;
    private int depth;

    void spend(long work) {
        left -= work;
        if (left < 0) {
            throw new TemplateException("the template does more than " + MAX_WORK + " steps");
        }
    }

    void enter() {
        spend(1);
        if (++depth > MAX_DEPTH) {
            throw new TemplateException("the template nests or recurs deeper than " + MAX_DEPTH + " levels");
        }
    }

    void leave() {
        depth--;
    }

    /** For a text about to be made. */
    void text(long length) {
        if (length > MAX_TEXT) {
            throw tooLong(length);
        }
        spend(length);
    }

    static TemplateException tooLong(long length) {
        return new TemplateException("a text of " + length + " characters, allowed are " + MAX_TEXT);
    }
}

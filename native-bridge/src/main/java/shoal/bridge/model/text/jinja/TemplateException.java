package shoal.bridge.model.text.jinja;

/** A template that cannot be read or run, or that refused its input itself. */
public final class TemplateException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    private final String reason;
    private final int line;
    private final boolean raisedByTemplate;

    private TemplateException(String reason, int line, boolean raisedByTemplate) {
        super(raisedByTemplate || line == 0 ? reason : "template line " + line + ": " + reason);
        this.reason = reason;
        this.line = line;
        this.raisedByTemplate = raisedByTemplate;
    }

    TemplateException(String reason) {
        this(reason, 0, false);
    }

    static TemplateException raised(String reason) {
        return new TemplateException(reason, 0, true);
    }

    /** The same, with the line where it happened unless that is known. */
    TemplateException at(int where) {
        return line != 0 ? this : new TemplateException(reason, where, raisedByTemplate);
    }

    /** Without the line. */
    public String reason() {
        return reason;
    }

    /** Whether the template called raise_exception: its author's words about the conversation, not a fault of the template. */
    public boolean raisedByTemplate() {
        return raisedByTemplate;
    }
}

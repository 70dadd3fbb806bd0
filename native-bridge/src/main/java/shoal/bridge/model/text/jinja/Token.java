package shoal.bridge.model.text.jinja;

/** @param text what stands there; of a TEXT literal its value */
record Token(Type type, String text, int line) {
    enum Type {
        DATA,
        BLOCK_BEGIN,
        BLOCK_END,
        VARIABLE_BEGIN,
        VARIABLE_END,
        NAME,
        TEXT,
        INTEGER,
        FLOAT,
        OPERATOR,
        END
    }
}

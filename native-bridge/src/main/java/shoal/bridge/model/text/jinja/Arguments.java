package shoal.bridge.model.text.jinja;

import java.math.BigInteger;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** Arguments of a call, by position and by name. */
record Arguments(List<Value> positional, Map<String, Value> named) {
    static final Arguments NONE = new Arguments(List.of(), Map.of());

    @Nullable Value find(int position, String name) {
        return position < positional.size() ? positional.get(position) : named.get(name);
    }

    Value get(int position, String name, Value absent) {
        Value found = find(position, name);
        return found == null ? absent : found;
    }

    /** @throws TemplateException if it is missing */
    Value required(int position, String name) {
        Value found = find(position, name);
        if (found == null) {
            throw new TemplateException("argument " + name + " is missing");
        }
        return found;
    }

    boolean flag(int position, String name, boolean absent) {
        Value found = find(position, name);
        return found == null ? absent : Operators.isTrue(found);
    }

    /** @throws TemplateException if it is no text */
    String text(int position, String name) {
        return Operators.requireText(required(position, name), name);
    }

    /** @throws TemplateException if it is no integer of 32 bits */
    int integer(int position, String name, int absent) {
        Value found = find(position, name);
        return found == null ? absent : Operators.requireInt(found, name);
    }

    /** Without the first positional ones. */
    Arguments from(int position) {
        return new Arguments(positional.subList(Math.min(position, positional.size()), positional.size()), named);
    }

    /** An integer that may be none. */
    @Nullable BigInteger bound(int position, String name) {
        Value found = find(position, name);
        return found == null || found instanceof Value.None
                ? null
                : BigInteger.valueOf(Operators.requireInt(found, name));
    }
}

package shoal.verticles.config;

import java.lang.reflect.Constructor;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.RecordComponent;
import java.lang.reflect.Type;
import java.util.List;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;

/**
 * Makes records of what the schema allows: text, whole numbers, truth values, lists of text, and records of these. Jackson's own way
 * takes a JVM that has just started a tenth of a second.
 */
final class ProfileRecords {
    private ProfileRecords() {}

    /** @throws IllegalStateException if the records want what the schema does not promise */
    static <T extends Record> T read(JsonNode tree, Class<T> type) {
        RecordComponent[] components = type.getRecordComponents();
        var types = new Class<?>[components.length];
        var values = new @Nullable Object[components.length];
        for (int i = 0; i < components.length; i++) {
            types[i] = components[i].getType();
            values[i] = value(tree.get(components[i].getName()), components[i]);
        }
        try {
            Constructor<T> constructor = type.getDeclaredConstructor(types);
            return constructor.newInstance(values);
        } catch (InvocationTargetException refused) {
            throw refused.getCause() instanceof RuntimeException cause ? cause : new IllegalStateException(refused);
        } catch (ReflectiveOperationException | IllegalArgumentException mismatch) {
            throw new IllegalStateException("the schema and the profile's records differ", mismatch);
        }
    }

    private static @Nullable Object value(@Nullable JsonNode node, RecordComponent component) {
        Class<?> type = component.getType();
        if (node == null || node.isNull()) {
            return null; // of a primitive the constructor refuses it
        }
        if (type == String.class) {
            return node.asString();
        }
        if (type == boolean.class) {
            return node.asBoolean();
        }
        if (type == int.class || type == Integer.class) {
            return node.asInt();
        }
        if (type == long.class) {
            return node.asLong();
        }
        if (type == List.class && isListOfText(component.getGenericType())) {
            return node.valueStream().map(JsonNode::asString).toList();
        }
        if (type.isRecord()) {
            return read(node, type.asSubclass(Record.class));
        }
        throw new IllegalStateException(component + " is of a kind that no profile has");
    }

    private static boolean isListOfText(Type type) {
        return type instanceof ParameterizedType list && list.getActualTypeArguments()[0] == String.class;
    }
}

package shoal.verticles.config;

import com.networknt.schema.Error;
import com.networknt.schema.Schema;
import com.networknt.schema.SchemaRegistry;
import com.networknt.schema.SpecificationVersion;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/** Builds a {@link Profile}: the schema's defaults, then the file, then what the command line says. */
public final class ProfileReader {
    private static final long MAX_FILE_BYTES = 1 << 20;
    private static final JsonMapper JSON = JsonMapper.builder().build();

    private final ObjectNode schema;
    private final ObjectNode tree;
    private final Map<String, String> origins = new LinkedHashMap<>();
    private String fileName = "the profile";
    private boolean unchecked;

    public ProfileReader() {
        try (InputStream in = ProfileReader.class.getResourceAsStream("/config/schema.json")) {
            if (in == null) {
                throw new IllegalStateException("config/schema.json is missing from the jar");
            }
            schema = (ObjectNode) JSON.readTree(in);
        } catch (IOException unreadable) {
            throw new IllegalStateException(unreadable);
        }
        tree = (ObjectNode) defaults(schema);
    }

    private static JsonNode defaults(JsonNode schema) {
        ObjectNode object = JSON.createObjectNode();
        schema.path("properties").properties().forEach(property -> {
            JsonNode value = property.getValue();
            if (value.has("properties")) {
                object.set(property.getKey(), defaults(value));
            } else if (value.has("default")) {
                object.set(property.getKey(), value.get("default"));
            }
        });
        return object;
    }

    /** Lays a file over the defaults. @throws ProfileException if it can't be read or is no JSON object */
    public ProfileReader file(Path file) {
        fileName = file.toString();
        if (!Files.isReadable(file) || Files.isDirectory(file)) {
            throw new ProfileException(file + " cannot be read. Name a profile with --config; samples lie in config/.");
        }
        try {
            if (Files.size(file) > MAX_FILE_BYTES) {
                throw new ProfileException(file + " has more than " + MAX_FILE_BYTES + " bytes and is no profile.");
            }
            JsonNode read = JSON.readTree(Files.readString(file));
            if (!(read instanceof ObjectNode object)) {
                throw new ProfileException(file + " is no JSON object.");
            }
            merge(tree, object);
            unchecked = true;
            return this;
        } catch (JacksonException malformed) {
            var at = malformed.getLocation();
            throw new ProfileException(file + " is no JSON"
                    + (at == null ? "" : " at line " + at.getLineNr() + ", column " + at.getColumnNr()) + ": "
                    + malformed.getOriginalMessage());
        } catch (IOException unreadable) {
            throw new ProfileException(file + " cannot be read: " + unreadable.getMessage());
        }
    }

    private static void merge(ObjectNode base, ObjectNode over) {
        over.properties().forEach(entry -> {
            if (entry.getValue() instanceof ObjectNode inner && base.get(entry.getKey()) instanceof ObjectNode below) {
                merge(below, inner);
            } else {
                base.set(entry.getKey(), entry.getValue());
            }
        });
    }

    /** Takes {@code key=value}, the key dotted; the value is read as JSON if it is some, else as text. */
    public ProfileReader set(String assignment) {
        int equals = assignment.indexOf('=');
        if (equals < 1) {
            throw new ProfileException("--set " + assignment + " is no key=value, such as quic.port=51820.");
        }
        String key = assignment.substring(0, equals);
        JsonNode type = typeOf(key);
        return put(key, valueOf(assignment.substring(equals + 1), type), "--set " + key);
    }

    /** Sets a key, on behalf of an option by that name. */
    public ProfileReader option(String option, String key, Object value) {
        return put(key, JSON.valueToTree(value), option);
    }

    private ProfileReader put(String key, JsonNode value, String origin) {
        String[] path = key.split("\\.", -1);
        ObjectNode at = tree;
        for (int i = 0; i < path.length - 1; i++) {
            at = at.get(path[i]) instanceof ObjectNode inner ? inner : at.putObject(path[i]);
        }
        at.set(path[path.length - 1], value);
        origins.put(key, origin);
        unchecked = true;
        return this;
    }

    /** Sets {@code store.directory}, for which any path will do. */
    public ProfileReader storeDirectory(Path directory) {
        ((ObjectNode) tree.get("store")).put("directory", directory.toString());
        return this;
    }

    private @Nullable JsonNode typeOf(String key) {
        JsonNode at = schema;
        for (String part : key.split("\\.", -1)) {
            at = at == null ? null : at.path("properties").get(part);
        }
        return at == null ? null : at.get("type");
    }

    private static JsonNode valueOf(String text, @Nullable JsonNode type) {
        boolean isText = type != null && type.isString() && type.asString().equals("string");
        if (isText) {
            return JSON.valueToTree(text);
        }
        boolean isList = type != null && type.isString() && type.asString().equals("array");
        if (isList && !text.startsWith("[{") && !text.startsWith("[\"")) {
            return JSON.valueToTree(text.isEmpty() ? List.of() : List.of(text.split(",")));
        }
        try {
            return JSON.readTree(text);
        } catch (JacksonException notJson) {
            return JSON.valueToTree(text);
        }
    }

    /**
     * Checks everything that was not there by default.
     *
     * @throws ProfileException with the first key that is wrong, what it is, and what it may be
     */
    public Profile read() {
        if (unchecked) { // the checker takes a JVM that has just started as long as fetching a small file
            Schema checker = SchemaRegistry.withDefaultDialect(SpecificationVersion.DRAFT_2020_12)
                    .getSchema(schema);
            List<Error> errors = checker.validate(tree);
            if (!errors.isEmpty()) {
                throw new ProfileException(explain(errors.getFirst()));
            }
        }
        return ProfileRecords.read(tree, Profile.class);
    }

    private String explain(Error error) {
        var path = new ArrayList<String>();
        for (int i = 0; i < error.getInstanceLocation().getNameCount(); i++) {
            path.add(String.valueOf(error.getInstanceLocation().getElement(i)));
        }
        String key = String.join(".", path);
        JsonNode found = tree;
        JsonNode rule = schema;
        for (String part : path) {
            found = found == null ? null : found.isArray() ? found.get(Integer.parseInt(part)) : found.get(part);
            JsonNode properties = rule.path("properties");
            rule = properties.has(part) ? properties.get(part) : rule.path("items");
        }
        if (error.getKeyword().equals("additionalProperties")) {
            String unknown = String.valueOf(error.getProperty());
            String full = key.isEmpty() ? unknown : key + "." + unknown;
            var known = new ArrayList<String>();
            rule.path("properties").properties().forEach(entry -> {
                if (!entry.getKey().startsWith("$")) {
                    known.add(entry.getKey());
                }
            });
            return origin(full) + full + " is no key of a profile; known here are " + String.join(", ", known) + ".";
        }
        return origin(key) + key + " is " + found + ", allowed is " + allowed(rule) + ".";
    }

    private String origin(String key) {
        String origin = origins.get(key);
        for (Map.Entry<String, String> set : origins.entrySet()) {
            if (origin == null && set.getKey().startsWith(key + ".")) {
                origin = set.getValue();
            }
        }
        return (origin == null ? fileName : origin) + ": ";
    }

    private static String allowed(JsonNode rule) {
        if (rule.has("enum")) {
            var names = new ArrayList<String>();
            rule.get("enum").forEach(value -> names.add(value.asString()));
            return "one of " + String.join(", ", names);
        }
        String type = rule.path("type").isArray()
                ? rule.path("type").get(0).asString() + " or null"
                : rule.path("type").asString();
        if (rule.has("maximum")) {
            return "a whole number " + rule.get("minimum") + ".." + rule.get("maximum");
        }
        if (rule.has("minimum")) {
            return "a whole number from " + rule.get("minimum");
        }
        return (type.startsWith("i") || type.startsWith("a") || type.startsWith("o") ? "an " : "a ") + type;
    }
}

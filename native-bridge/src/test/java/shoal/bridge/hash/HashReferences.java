package shoal.bridge.hash;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.Objects;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** Reference values: see src/test/resources/hash/README.md. */
final class HashReferences {
    private HashReferences() {}

    static JsonNode cases() {
        try (InputStream in =
                Objects.requireNonNull(HashReferences.class.getResourceAsStream("/hash/references.json"))) {
            return JsonMapper.shared().readTree(in).get("cases");
        } catch (IOException unreadable) {
            throw new UncheckedIOException(unreadable);
        }
    }

    /** Byte i is i mod 251. */
    static byte[] input(JsonNode reference) {
        var bytes = new byte[reference.get("length").asInt()];
        for (int i = 0; i < bytes.length; i++) {
            bytes[i] = (byte) (i % 251);
        }
        return bytes;
    }
}

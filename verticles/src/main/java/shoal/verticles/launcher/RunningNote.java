package shoal.verticles.launcher;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.LinkedHashMap;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.Endpoint;
import shoal.codec.base.MalformedException;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/**
 * A note in the store's directory of the process that has it open, so that the machine's owner finds it. It tells no secret.
 *
 * @param quic where the process is reached from this machine
 * @param secretFile of its cluster, or null
 */
public record RunningNote(
        long pid, String role, Endpoint quic, @Nullable String secretFile) {
    private static final String NAME = "running.json";
    private static final long MAX_BYTES = 16 * 1024;

    void write(Path store) throws IOException {
        var fields = new LinkedHashMap<String, Object>();
        fields.put("pid", pid);
        fields.put("role", role);
        fields.put("quic", quic.toString());
        fields.put("secret_file", secretFile);
        Path temporary = store.resolve(NAME + ".tmp");
        Files.writeString(temporary, JsonMapper.shared().writeValueAsString(fields));
        Files.move(temporary, store.resolve(NAME), StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    }

    static void remove(Path store) throws IOException {
        Files.deleteIfExists(store.resolve(NAME));
    }

    /** The process that has a store open; empty if none has, or its note is damaged. */
    public static Optional<RunningNote> read(Path store) throws IOException {
        Path file = store.resolve(NAME);
        if (!Files.isRegularFile(file) || Files.size(file) > MAX_BYTES) {
            return Optional.empty();
        }
        try {
            JsonNode json = JsonMapper.shared().readTree(Files.readString(file));
            var note = new RunningNote(
                    json.path("pid").asLong(0),
                    json.path("role").asString(""),
                    Endpoint.parse(json.path("quic").asString("")),
                    json.path("secret_file").isString()
                            ? json.path("secret_file").asString()
                            : null);
            return ProcessHandle.of(note.pid()).filter(ProcessHandle::isAlive).map(_ -> note);
        } catch (JacksonException | MalformedException | IllegalArgumentException damaged) {
            return Optional.empty();
        }
    }
}

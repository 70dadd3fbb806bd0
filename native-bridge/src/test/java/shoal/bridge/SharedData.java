package shoal.bridge;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.ObjectMapper;

/** Test data that lies beside a checkout, in ../shared or where SHOAL_SHARED says; tests without it are skipped. */
public final class SharedData {
    private static final ObjectMapper JSON = new ObjectMapper();

    private SharedData() {}

    public static Path directory() {
        String named = System.getenv("SHOAL_SHARED");
        return named != null
                ? Path.of(named)
                : Path.of(System.getProperty("shoal.repository", ".."))
                        .resolveSibling("shared")
                        .normalize();
    }

    /** Whether that path is there. */
    public static boolean has(String path) {
        return Files.exists(directory().resolve(path));
    }

    /** The path, or the test is skipped. */
    public static Path file(String path) {
        assumeTrue(has(path), () -> directory().resolve(path) + " is not there; set SHOAL_SHARED to the test data");
        return directory().resolve(path);
    }

    public static JsonNode json(String path) {
        return JSON.readTree(file(path).toFile());
    }

    public static int[] ints(JsonNode array) {
        int[] values = new int[array.size()];
        for (int i = 0; i < values.length; i++) {
            values[i] = array.get(i).asInt();
        }
        return values;
    }

    public static List<Integer> list(JsonNode array) {
        List<Integer> values = new ArrayList<>();
        array.forEach(value -> values.add(value.asInt()));
        return values;
    }
}

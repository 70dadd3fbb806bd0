package shoal.verticles.cli;

import java.io.IOException;
import java.net.ConnectException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpTimeoutException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/** A coordinator asked over HTTP, and the options that say where it is. */
final class CoordinatorDoor {
    private static final JsonMapper JSON = JsonMapper.builder().build();
    private static final Duration TIMEOUT = Duration.ofSeconds(100);

    @Option(
            names = "--at",
            paramLabel = "URL",
            description = "The coordinator's HTTP address, such as http://127.0.0.1:8080.")
    private @Nullable String at;

    @Option(
            names = "--api-key-file",
            paramLabel = "FILE",
            description = "A file with the key that api.keyFile asks for.")
    private @Nullable Path keyFile;

    boolean isNamed() {
        return at != null;
    }

    /** @throws IOException with the coordinator's own words if it refuses */
    JsonNode get(String path) throws IOException, InterruptedException {
        return send(path, HttpRequest.newBuilder().GET());
    }

    /** @throws IOException with the coordinator's own words if it refuses */
    JsonNode post(String path, ObjectNode body) throws IOException, InterruptedException {
        return send(
                path,
                HttpRequest.newBuilder()
                        .header("Content-Type", "application/json")
                        .POST(HttpRequest.BodyPublishers.ofString(JSON.writeValueAsString(body))));
    }

    private JsonNode send(String path, HttpRequest.Builder request) throws IOException, InterruptedException {
        URI base = base();
        Path key = keyFile;
        if (key != null) {
            request.header("Authorization", "Bearer " + Files.readString(key).strip());
        }
        try (HttpClient http =
                HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build()) {
            HttpResponse<String> answer = http.send(
                    request.uri(base.resolve("/v1/shoal/" + path))
                            .timeout(TIMEOUT)
                            .build(),
                    HttpResponse.BodyHandlers.ofString());
            JsonNode body = JSON.readTree(answer.body());
            if (answer.statusCode() != 200) {
                throw new IOException(base + " says: "
                        + body.path("error").path("message").asString("HTTP status " + answer.statusCode()));
            }
            return body;
        } catch (ConnectException nobody) {
            throw new IOException("nobody answers at " + base
                    + ". Is a coordinator running there? Its first lines say where it answers programs.");
        } catch (HttpTimeoutException late) {
            throw new IOException(base + " did not answer within " + TIMEOUT.toSeconds() + " s.");
        } catch (JacksonException noJson) {
            throw new IOException(base + " answers, but is no coordinator: what it says is no JSON.");
        }
    }

    private URI base() throws IOException {
        String text = at == null ? "" : at.contains("://") ? at : "http://" + at;
        try {
            URI uri = URI.create(text);
            if (uri.getHost() != null
                    && (uri.getScheme().equals("http") || uri.getScheme().equals("https"))) {
                return uri.resolve("/");
            }
        } catch (IllegalArgumentException noAddress) {
            // told below
        }
        throw new IOException("--at is '" + at + "', which is no address such as http://127.0.0.1:8080.");
    }
}

package shoal.verticles.cli;

import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.security.SecureRandom;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import shoal.codec.base.Endpoint;
import shoal.verticles.client.SwarmProbe;
import shoal.verticles.identity.ClusterSecret;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** Proves that a swarm is what it says: files, DHT, loaded layers, and a generation through every stage. */
@Command(
        name = "verify",
        description = "Prove that every shard is seeded, found in the DHT, loaded, and took part in an answer. "
                + "Exit code 1 if anything is not so.",
        mixinStandardHelpOptions = true)
final class VerifyCommand implements Callable<Integer> {
    @Mixin
    private final CoordinatorDoor door = new CoordinatorDoor();

    @Option(
            names = "--bootstrap",
            paramLabel = "ADDRESS",
            description = "Whom to ask about the DHT first; else whom the coordinator names.")
    private List<String> bootstrap = List.of();

    @Option(names = "--secret-file", paramLabel = "FILE", description = "The cluster's secret, if it has one.")
    private @Nullable Path secretFile;

    @Option(
            names = "--tokens",
            paramLabel = "N",
            defaultValue = "8",
            description = "Tokens to generate (default: ${DEFAULT-VALUE}).")
    private int tokens;

    @Option(names = "--json", description = "Print one JSON object.")
    private boolean json;

    @Override
    public Integer call() throws IOException, InterruptedException {
        if (!door.isNamed()) {
            throw new IOException("--at is missing: the coordinator's HTTP address, such as http://127.0.0.1:8080.");
        }
        var random = new SecureRandom();
        byte[] nonce = new byte[6];
        random.nextBytes(nonce); // a prompt that no stage has seen, so that each must compute all of it
        JsonNode proof = door.post(
                "proof",
                JsonMapper.shared()
                        .createObjectNode()
                        .put("prompt", HexFormat.of().formatHex(nonce) + " Once upon a time")
                        .put("tokens", tokens));
        var checks = new SwarmChecks(proof, random);
        List<Endpoint> first = new ArrayList<>();
        for (String address : bootstrap) {
            first.add(Endpoint.parse(address));
        }
        for (JsonNode address : bootstrap.isEmpty() ? proof.path("bootstrap") : List.<JsonNode>of()) {
            first.add(Endpoint.parse(address.asString()));
        }
        ClusterSecret secret = secretFile == null ? null : ClusterSecret.read(secretFile);
        try (var probe = new SwarmProbe(secret, "shoal " + ShoalCommand.Version.number())) {
            checks.filesAndRecords(probe, first);
        }
        checks.loaded();
        checks.generation();
        print(proof, checks.rows());
        return checks.rows().stream().allMatch(SwarmChecks.Row::ok)
                ? CommandLine.ExitCode.OK
                : CommandLine.ExitCode.SOFTWARE;
    }

    private void print(JsonNode proof, List<SwarmChecks.Row> rows) {
        var out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        long wrong = rows.stream().filter(row -> !row.ok()).count();
        if (json) {
            Map<String, Object> all = new LinkedHashMap<>();
            all.put("ok", wrong == 0);
            all.put("model", proof.path("model").asString());
            all.put("rows", rows);
            all.put("tokens", proof.path("tokens"));
            out.println(JsonMapper.shared().writeValueAsString(all));
            return;
        }
        int width = rows.stream().mapToInt(row -> row.what().length()).max().orElse(0);
        String before = "";
        for (SwarmChecks.Row row : rows) {
            out.printf(
                    "%s %-10s %-" + Math.max(1, width) + "s  %s%n",
                    row.ok() ? "✓" : "✗",
                    row.check().equals(before) ? "" : row.check(),
                    row.what(),
                    row.found());
            before = row.check();
        }
        out.println(
                wrong == 0
                        ? "all " + rows.size() + " checks of "
                                + proof.path("model").asString() + " passed"
                        : wrong + " of " + rows.size() + " checks failed");
    }
}

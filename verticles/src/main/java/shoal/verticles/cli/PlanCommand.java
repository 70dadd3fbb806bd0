package shoal.verticles.cli;

import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Locale;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** Tells which node would compute what, how fast that would be, and what each node is worth. */
@Command(
        name = "plan",
        description =
                "Which node computes which layers, the milliseconds a token is expected to take, and what each node is worth: "
                        + "of a running swarm (--at), or of machines that you think of (MODEL --nodes FILE).",
        mixinStandardHelpOptions = true)
final class PlanCommand implements Callable<Integer> {
    @Mixin
    private final CoordinatorDoor door = new CoordinatorDoor();

    @Parameters(
            index = "0",
            arity = "0..1",
            paramLabel = "MODEL",
            description = "A model, or the vocabulary file of a split one. Only its header is read.")
    private @Nullable Path model;

    @Option(names = "--nodes", paramLabel = "FILE", description = "Machines as JSON; see docs/SWARM.md.")
    private @Nullable Path nodes;

    @Option(
            names = "--sequences",
            paramLabel = "N",
            description = "For how many sequences at once; 0 for so many that the slowest node alone decides.")
    private @Nullable Integer sequences;

    @Option(names = "--json", description = "Print one JSON object.")
    private boolean json;

    @Override
    public Integer call() throws IOException, InterruptedException {
        Integer wish = sequences;
        if (wish != null && (wish < 0 || wish > 65_536)) {
            throw new IOException("--sequences is " + wish + ", allowed are 0..65536.");
        }
        Path file = model;
        Path machines = nodes;
        JsonNode plan;
        if (door.isNamed() && file == null && machines == null) {
            plan = door.get(wish == null ? "plan" : "plan?sequences=" + wish);
        } else if (!door.isNamed() && file != null && machines != null) {
            plan = JsonMapper.shared().valueToTree(ImaginedSwarm.read(machines).plan(file, wish == null ? 0 : wish));
        } else {
            throw new IOException(
                    "name a running swarm with --at URL, or a model and machines with MODEL --nodes FILE.");
        }
        var out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        if (json) {
            out.println(JsonMapper.shared().writeValueAsString(plan));
        } else {
            print(plan, out);
        }
        return CommandLine.ExitCode.OK;
    }

    private static void print(JsonNode plan, PrintStream out) {
        out.printf(
                "%s, %d layers%n",
                plan.path("model").asString(), plan.path("layers").asInt());
        for (JsonNode stage : plan.path("stages")) {
            out.printf(
                    Locale.ROOT,
                    "  layers %-9s %-18s %9.2f ms  after a way of %.2f ms%n",
                    range(stage.path("layers")),
                    name(stage.path("node").asString()),
                    stage.path("ms").asDouble(),
                    stage.path("way_ms").asDouble());
        }
        out.printf(
                Locale.ROOT,
                "  and back to the coordinator in %.2f ms%n%n",
                plan.path("way_back_ms").asDouble());
        out.printf(
                Locale.ROOT,
                "%.2f ms a token, %.1f tokens/s for one sequence, up to %.1f for many (the slowest node takes %.2f ms)%n",
                plan.path("ms_per_token").asDouble(),
                plan.path("tokens_per_second").asDouble(),
                plan.path("tokens_per_second_of_many").asDouble(),
                plan.path("slowest_ms").asDouble());
        out.println("minimised: " + plan.path("minimised").asString());
        if (!plan.path("exact").asBoolean()) {
            out.println("best of many placements that were tried; there are too many nodes to try all");
        }
        if (!plan.path("measured").asBoolean()) {
            out.println("some nodes have not been measured yet; they are taken for as fast as the one in the middle");
        }
        out.println();
        for (JsonNode node : plan.path("nodes")) {
            var copies = new StringBuilder();
            node.path("copies")
                    .forEach(
                            range -> copies.append(copies.isEmpty() ? "" : ", ").append(range(range)));
            out.printf(
                    "  %-18s %s%s%n",
                    name(node.path("node").asString()),
                    node.path("why").asString(),
                    copies.isEmpty() ? "" : "; holds copies of layers " + copies);
        }
    }

    private static String range(JsonNode layers) {
        return layers.path(0).asInt() + "-" + layers.path(1).asInt();
    }

    /** Node ids in short. */
    private static String name(String node) {
        return node.length() == 64 ? node.substring(0, 8) : node;
    }
}

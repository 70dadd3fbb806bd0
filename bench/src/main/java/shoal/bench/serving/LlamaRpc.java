package shoal.bench.serving;

import java.io.IOException;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import shoal.bench.report.Report;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** llama.cpp's RPC backend on the same machine and model: two rpc-servers, each a share of the layers, beside none. */
final class LlamaRpc {
    private static final int SERVERS = 2;
    private static final long START_SECONDS = 30;

    /** Time to open the model and begin. */
    private static final long KILL_AFTER_SECONDS = 15;

    private static final long PATIENCE_SECONDS = 60;

    private final Path binaries;
    private final ServingCommand.Settings settings;
    private final Report report;
    private final Consumer<String> progress;

    LlamaRpc(Path binaries, ServingCommand.Settings settings, Report report, Consumer<String> progress) {
        this.binaries = binaries;
        this.settings = settings;
        this.report = report;
        this.progress = progress;
    }

    private record Rates(double prefill, double decode) {}

    void measure() throws IOException, InterruptedException {
        for (String name : List.of("rpc-server", "llama-bench")) {
            if (!Files.isExecutable(binaries.resolve(name))) {
                throw new IOException(binaries.resolve(name) + " is missing; build llama.cpp with -DGGML_RPC=ON.");
            }
        }
        progress.accept("llama.cpp: one process …");
        Rates alone = bench(List.of());
        var servers = new ArrayList<Process>();
        var addresses = new ArrayList<String>();
        try {
            for (int i = 0; i < SERVERS; i++) {
                int port = freePort();
                servers.add(new ProcessBuilder(
                                binaries.resolve("rpc-server").toString(),
                                "-H",
                                "127.0.0.1",
                                "-p",
                                String.valueOf(port),
                                "-t",
                                String.valueOf(settings.threads()))
                        .redirectErrorStream(true)
                        .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                        .start());
                addresses.add("127.0.0.1:" + port);
            }
            awaitPorts(addresses, servers);
            progress.accept("llama.cpp: two rpc-servers …");
            Rates swarm = bench(List.of("--rpc", String.join(",", addresses), "-ngl", "99"));
            report.row("what", "llama.cpp, decode, one process", "tokens/s", alone.decode());
            report.row("what", "llama.cpp, decode, two rpc-servers", "tokens/s", swarm.decode());
            report.row("what", "llama.cpp, prompt, one process", "tokens/s", alone.prefill());
            report.row("what", "llama.cpp, prompt, two rpc-servers", "tokens/s", swarm.prefill());
            report.ratio("llama.cpp: decode, two rpc-servers over one process", swarm.decode() / alone.decode());
            report.ratio("llama.cpp: prompt, two rpc-servers over one process", swarm.prefill() / alone.prefill());
            report.note(afterKill(servers.getLast(), addresses));
        } finally {
            servers.forEach(Process::destroyForcibly);
        }
    }

    /** Kills a server while tokens are generated, and says what becomes of the client. */
    private String afterKill(Process victim, List<String> addresses) throws IOException, InterruptedException {
        progress.accept("llama.cpp: an rpc-server is killed …");
        Path log = Files.createTempFile("llama-bench-", ".log");
        Process client = new ProcessBuilder(
                        binaries.resolve("llama-bench").toString(),
                        "-m",
                        settings.model().toString(),
                        "-p",
                        "0",
                        "-n",
                        "4096",
                        "-r",
                        "1",
                        "-t",
                        String.valueOf(settings.threads()),
                        "--rpc",
                        String.join(",", addresses),
                        "-ngl",
                        "99")
                .redirectErrorStream(true)
                .redirectOutput(log.toFile())
                .start();
        try {
            if (client.waitFor(KILL_AFTER_SECONDS, TimeUnit.SECONDS)) {
                return "llama.cpp's client ended before an rpc-server was killed";
            }
            long killed = System.nanoTime();
            victim.destroyForcibly();
            if (!client.waitFor(PATIENCE_SECONDS, TimeUnit.SECONDS)) {
                return "llama.cpp's client still hangs " + PATIENCE_SECONDS + " s after an rpc-server was killed";
            }
            return String.format(
                    java.util.Locale.ROOT,
                    "llama.cpp's client ended with exit code %d, %.1f s after an rpc-server was killed: its answer is lost",
                    client.exitValue(),
                    (System.nanoTime() - killed) / 1e9);
        } finally {
            client.destroyForcibly();
            Files.delete(log);
        }
    }

    private Rates bench(List<String> more) throws IOException, InterruptedException {
        var command = new ArrayList<>(List.of(
                binaries.resolve("llama-bench").toString(),
                "-m",
                settings.model().toString(),
                "-p",
                String.valueOf(settings.prompt()),
                "-n",
                String.valueOf(settings.tokens()),
                "-t",
                String.valueOf(settings.threads()),
                "-r",
                String.valueOf(settings.rounds()),
                "-o",
                "json"));
        command.addAll(more);
        Path errors = Files.createTempFile("llama-bench-", ".log");
        try {
            Process process =
                    new ProcessBuilder(command).redirectError(errors.toFile()).start();
            String out = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            if (process.waitFor() != 0) {
                throw new IOException("llama-bench ended with " + process.exitValue() + ": "
                        + Files.readString(errors)
                                .lines()
                                .reduce((_, later) -> later)
                                .orElse("it said nothing"));
            }
            double prefill = Double.NaN;
            double decode = Double.NaN;
            for (JsonNode run : JsonMapper.shared().readTree(out)) {
                if (run.path("n_gen").asInt() == 0) {
                    prefill = run.path("avg_ts").asDouble();
                } else {
                    decode = run.path("avg_ts").asDouble();
                }
            }
            return new Rates(prefill, decode);
        } finally {
            Files.delete(errors);
        }
    }

    private static void awaitPorts(List<String> addresses, List<Process> servers)
            throws IOException, InterruptedException {
        long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(START_SECONDS);
        for (int i = 0; i < addresses.size(); i++) {
            int port =
                    Integer.parseInt(addresses.get(i).substring(addresses.get(i).indexOf(':') + 1));
            while (true) {
                try (var _ = new java.net.Socket("127.0.0.1", port)) {
                    break;
                } catch (IOException notYet) {
                    if (!servers.get(i).isAlive() || System.nanoTime() > until) {
                        throw new IOException("rpc-server did not listen on " + addresses.get(i) + ".", notYet);
                    }
                    TimeUnit.MILLISECONDS.sleep(20);
                }
            }
        }
    }

    private static int freePort() throws IOException {
        try (var socket = new ServerSocket(0)) {
            return socket.getLocalPort();
        }
    }
}

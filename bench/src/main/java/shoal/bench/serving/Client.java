package shoal.bench.serving;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.function.IntConsumer;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** Asks a swarm over HTTP and notes when each token came. */
final class Client implements AutoCloseable {
    private static final JsonMapper JSON = JsonMapper.builder().build();
    private static final Duration PATIENCE = Duration.ofMinutes(5);

    private final HttpClient http =
            HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
    private final ExecutorService readers = Executors.newVirtualThreadPerTaskExecutor();
    private final String base;

    /** @param base URL as the coordinator prints it */
    Client(String base) {
        this.base = base;
    }

    /**
     * One answer.
     *
     * @param askedNanos when it was asked for
     * @param tokenNanos when each piece came
     * @param text of the pieces together
     * @param error what the coordinator said instead, or empty
     */
    record Answer(
            long askedNanos,
            long[] tokenNanos,
            String text,
            List<String> nodes,
            int promptTokens,
            int tokens,
            int recoveries,
            String error) {
        double firstTokenSeconds() {
            return tokenNanos.length == 0 ? Double.NaN : (tokenNanos[0] - askedNanos) / 1e9;
        }

        /** Tokens a second behind the first. */
        double rate() {
            return tokenNanos.length < 2
                    ? Double.NaN
                    : (tokenNanos.length - 1) * 1e9 / (tokenNanos[tokenNanos.length - 1] - tokenNanos[0]);
        }

        /** The gap in the middle of all gaps between tokens, in milliseconds. */
        double medianGapMillis() {
            if (tokenNanos.length < 2) {
                return Double.NaN;
            }
            long[] gaps = new long[tokenNanos.length - 1];
            for (int i = 0; i < gaps.length; i++) {
                gaps[i] = tokenNanos[i + 1] - tokenNanos[i];
            }
            Arrays.sort(gaps);
            return gaps[gaps.length / 2] / 1e6;
        }
    }

    /** Asks and reads to the end. @param heard gets the number of each piece when it comes, from 0 */
    Answer ask(String prompt, int tokens, IntConsumer heard) throws IOException, InterruptedException {
        var body = JSON.createObjectNode()
                .put("prompt", prompt)
                .put("max_tokens", tokens)
                .put("temperature", 0)
                .put("stream", true);
        body.putObject("stream_options").put("include_usage", true);
        var request = HttpRequest.newBuilder(URI.create(base + "/completions"))
                .timeout(PATIENCE)
                .header("Content-Type", "application/json")
                .POST(HttpRequest.BodyPublishers.ofString(JSON.writeValueAsString(body)))
                .build();
        long asked = System.nanoTime();
        HttpResponse<InputStream> answer = http.send(request, HttpResponse.BodyHandlers.ofInputStream());
        if (answer.statusCode() != 200) {
            try (InputStream in = answer.body()) {
                throw new IOException("the swarm says " + new String(in.readAllBytes(), StandardCharsets.UTF_8));
            }
        }
        var times = new ArrayList<Long>();
        var text = new StringBuilder();
        var nodes = new ArrayList<String>();
        int promptTokens = 0;
        int generated = 0;
        int recoveries = 0;
        String error = "";
        try (var lines = new BufferedReader(new InputStreamReader(answer.body(), StandardCharsets.UTF_8))) {
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                if (!line.startsWith("data: {")) {
                    continue;
                }
                long now = System.nanoTime();
                JsonNode chunk = JSON.readTree(line.substring("data: ".length()));
                JsonNode choice = chunk.path("choices").path(0);
                if (choice.path("text").isString()) {
                    text.append(choice.path("text").asString());
                    if (!choice.path("finish_reason").isString()) {
                        times.add(now);
                        heard.accept(times.size() - 1);
                    }
                }
                chunk.path("shoal")
                        .path("stages")
                        .forEach(stage -> nodes.add(stage.path("node").asString()));
                recoveries = Math.max(
                        recoveries, chunk.path("shoal").path("recoveries").asInt(0));
                promptTokens = Math.max(
                        promptTokens, chunk.path("usage").path("prompt_tokens").asInt(0));
                generated = Math.max(
                        generated, chunk.path("usage").path("completion_tokens").asInt(0));
                error = chunk.path("error").path("message").asString(error);
            }
        }
        return new Answer(
                asked,
                times.stream().mapToLong(Long::longValue).toArray(),
                text.toString(),
                nodes,
                promptTokens,
                generated,
                recoveries,
                error);
    }

    Answer ask(String prompt, int tokens) throws IOException, InterruptedException {
        return ask(prompt, tokens, _ -> {});
    }

    /** Several at once. @param heard gets the number of each piece of any */
    List<Answer> askAll(List<String> prompts, int tokens, IntConsumer heard) throws IOException, InterruptedException {
        var asking = new ArrayList<Future<Answer>>();
        for (String prompt : prompts) {
            Callable<Answer> one = () -> ask(prompt, tokens, heard);
            asking.add(readers.submit(one));
        }
        var answers = new ArrayList<Answer>();
        for (Future<Answer> each : asking) {
            try {
                answers.add(each.get());
            } catch (ExecutionException failure) {
                throw new IOException("an answer failed: " + failure.getCause(), failure);
            }
        }
        return answers;
    }

    /** What the stages have done so far. */
    Work work() throws IOException, InterruptedException {
        return Work.parse(http.send(
                        HttpRequest.newBuilder(URI.create(base).resolve("/metrics"))
                                .timeout(PATIENCE)
                                .build(),
                        HttpResponse.BodyHandlers.ofString())
                .body());
    }

    /** The machines as the coordinator lists them. */
    JsonNode machines() throws IOException, InterruptedException {
        return JSON.readTree(http.send(
                        HttpRequest.newBuilder(URI.create(base + "/shoal/nodes"))
                                .timeout(PATIENCE)
                                .build(),
                        HttpResponse.BodyHandlers.ofString())
                .body());
    }

    @Override
    public void close() {
        readers.shutdownNow();
        http.shutdownNow();
    }
}

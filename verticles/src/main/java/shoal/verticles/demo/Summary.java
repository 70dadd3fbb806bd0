package shoal.verticles.demo;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import shoal.verticles.client.GenerateClient;

/**
 * What came of a demo, for people and for programs.
 *
 * @param identical whether one process gave the same answer
 * @param bytes how many came from which kind of source
 * @param victim the stage that was killed in the middle
 */
record Summary(
        GenerateClient.Answer answer,
        boolean identical,
        List<Member> processes,
        Map<String, Long> bytes,
        Demo.@Nullable Victim victim) {

    /**
     * One process of the swarm.
     *
     * @param layers first and last layer of each range that it computes or stands by for
     */
    record Member(String id, String name, long pid, String role, List<List<Integer>> layers) {
        private String duty() {
            return layers.isEmpty()
                    ? role
                    : layers.stream()
                            .map(range -> range.getFirst() + "–" + range.getLast())
                            .collect(Collectors.joining(", ", "layers ", ""));
        }
    }

    /** For people, line by line. */
    List<String> lines() {
        var lines = new ArrayList<String>();
        lines.add(String.format(
                Locale.ROOT,
                "%d tokens, %.1f tokens/s, first token after %.0f ms%s",
                answer.tokens().size(),
                answer.tokensPerSecond(),
                answer.firstTokenMicros() / 1000.0,
                identical ? "; one process gives exactly the same" : ""));
        if (victim != null) {
            lines.add(String.format(
                    Locale.ROOT,
                    "%s (layers %s) was killed in the middle; the answer went on after %d ms, no token lost",
                    victim.child.name(),
                    victim.layers,
                    victim.goneMillis));
        }
        lines.add("bytes from the rendezvous " + kib(bytes.getOrDefault("rendezvous", 0L)) + ", from peers "
                + kib(bytes.getOrDefault("peers", 0L)));
        for (Member member : processes) {
            lines.add(String.format(
                    Locale.ROOT,
                    "  %-12s pid %-8d %s  %s",
                    member.name,
                    member.pid,
                    member.id.substring(0, 8),
                    member.duty()));
        }
        return lines;
    }

    /**
     * For programs.
     *
     * @param api where the swarm answers over HTTP, if it stays
     */
    Map<String, Object> report(@Nullable String api) {
        var report = new LinkedHashMap<String, Object>();
        report.put("identical", identical);
        report.put("text", answer.text());
        report.put("tokens", answer.tokens());
        report.put("stopped", answer.stopped().name().toLowerCase(Locale.ROOT));
        report.put("nodes", processes);
        report.put("bytes", bytes);
        report.put("ttft_ms", answer.firstTokenMicros() / 1000.0);
        report.put("tokens_per_second", answer.tokensPerSecond());
        if (victim != null) {
            report.put(
                    "killed",
                    Map.of("name", victim.child.name(), "pid", victim.child.pid(), "gone_ms", victim.goneMillis));
        }
        if (api != null) {
            report.put("api", api);
        }
        return report;
    }

    static String kib(long bytes) {
        return String.format(Locale.ROOT, "%,d KiB", bytes / 1024);
    }
}

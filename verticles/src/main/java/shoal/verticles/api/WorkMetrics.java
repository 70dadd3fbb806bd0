package shoal.verticles.api;

import java.util.Locale;
import java.util.function.Function;
import shoal.verticles.bus.Local;

/** What stages and the ways between them take, in Prometheus' text format 0.0.4. */
final class WorkMetrics {
    private static final double MICROS = 1e6;

    private WorkMetrics() {}

    static String text(Local.Work work) {
        var text = new StringBuilder();
        head(text, "shoal_hop_seconds", "summary", "What a way from machine to machine adds to a token of an answer");
        for (Local.ModelWork model : work.models()) {
            String name = escaped(model.model());
            line(text, "shoal_hop_seconds{model=\"%s\",quantile=\"0.5\"} %s", name, seconds(model.hopMedianMicros()));
            line(text, "shoal_hop_seconds{model=\"%s\",quantile=\"0.99\"} %s", name, seconds(model.hopSlowMicros()));
            line(text, "shoal_hop_seconds_count{model=\"%s\"} %d", name, model.hops());
        }
        head(text, "shoal_stage_busy_seconds_total", "counter", "Time that a stage has computed");
        stages(text, work, "shoal_stage_busy_seconds_total", stage -> seconds(stage.busyMicros()));
        head(text, "shoal_stage_tokens_total", "counter", "Tokens that a stage has computed");
        stages(text, work, "shoal_stage_tokens_total", Local.StageWork::tokens);
        head(text, "shoal_stage_batches_total", "counter", "Micro-batches that a stage has computed");
        stages(text, work, "shoal_stage_batches_total", Local.StageWork::batches);
        head(text, "shoal_replayed_positions_total", "counter", "Positions sent once more to stages that took over");
        models(text, work, "shoal_replayed_positions_total", Local.ModelWork::replayedPositions);
        head(text, "shoal_copied_positions_total", "counter", "Positions of which stages that took over had copies");
        models(text, work, "shoal_copied_positions_total", Local.ModelWork::copiedPositions);
        return text.toString();
    }

    private static void models(
            StringBuilder text, Local.Work work, String metric, Function<Local.ModelWork, Object> value) {
        for (Local.ModelWork model : work.models()) {
            line(text, "%s{model=\"%s\"} %s", metric, escaped(model.model()), value.apply(model));
        }
    }

    private static void stages(
            StringBuilder text, Local.Work work, String metric, Function<Local.StageWork, Object> value) {
        for (Local.ModelWork model : work.models()) {
            int number = 0;
            for (Local.StageWork stage : model.stages()) {
                line(
                        text,
                        "%s{model=\"%s\",stage=\"%d\",node=\"%s\",layers=\"%s\"} %s",
                        metric,
                        escaped(model.model()),
                        number++,
                        stage.node().toHex(),
                        stage.layers(),
                        value.apply(stage));
            }
        }
    }

    private static void head(StringBuilder text, String metric, String type, String help) {
        line(text, "# HELP %s %s", metric, help);
        line(text, "# TYPE %s %s", metric, type);
    }

    private static void line(StringBuilder text, String format, Object... values) {
        text.append(String.format(Locale.ROOT, format, values)).append('\n');
    }

    private static String seconds(long micros) {
        return Double.toString(micros / MICROS);
    }

    private static String escaped(String label) {
        return label.replace("\\", "\\\\").replace("\"", "\\\"").replace("\n", "\\n");
    }
}

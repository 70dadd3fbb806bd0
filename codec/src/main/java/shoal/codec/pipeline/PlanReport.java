package shoal.codec.pipeline;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.LayerRange;
import shoal.codec.base.NodeId;

/** A placement in words and numbers, for people and programs: keys as in JSON, times in milliseconds. */
public final class PlanReport {
    private static final double NANOS_PER_MILLI = 1e6;

    private PlanReport() {}

    /**
     * All of a plan.
     *
     * @param parts layers of each part, in order
     * @param names how machines are called
     */
    public static Map<String, Object> of(
            String model,
            List<LayerRange> parts,
            PlacementPlanner.Question question,
            PlacementPlan plan,
            Function<NodeId, String> names) {
        var report = new LinkedHashMap<String, Object>();
        report.put("model", model);
        report.put("layers", parts.getLast().last() + 1);
        report.put("ms_per_token", millis(plan.tokenNanos()));
        report.put("slowest_ms", millis(plan.slowestNanos()));
        report.put("tokens_per_second", plan.tokensPerSecond());
        report.put("tokens_per_second_of_many", plan.tokensPerSecondOfMany());
        report.put("sequences", question.sequences() == PlacementPlanner.MANY ? null : question.sequences());
        report.put("minimised", minimised(question, plan));
        report.put("exact", plan.exact());
        report.put("measured", question.candidates().stream().allMatch(PlacementPlanner.Candidate::isMeasured));
        var stages = new ArrayList<Map<String, Object>>();
        for (PlacementPlan.Run run : plan.runs()) {
            var stage = new LinkedHashMap<String, Object>();
            stage.put("node", names.apply(run.node()));
            stage.put(
                    "layers",
                    List.of(
                            parts.get(run.firstPart()).first(),
                            parts.get(run.lastPart()).last()));
            stage.put("ms", millis(run.nanos()));
            stage.put("way_ms", millis(run.wayNanos()));
            stages.add(stage);
        }
        report.put("stages", stages);
        report.put(
                "way_back_ms",
                millis(question.links().nanos(plan.runs().getLast().node(), question.coordinator())));
        report.put("nodes", nodes(parts, question, plan, names));
        return report;
    }

    private static List<Map<String, Object>> nodes(
            List<LayerRange> parts,
            PlacementPlanner.Question question,
            PlacementPlan plan,
            Function<NodeId, String> names) {
        var nodes = new ArrayList<Map<String, Object>>();
        for (PlacementPlanner.Candidate node : question.candidates()) {
            var entry = new LinkedHashMap<String, Object>();
            entry.put("node", names.apply(node.id()));
            entry.put("memory_bytes", node.memoryBytes());
            entry.put("measured", node.isMeasured());
            long all = PlacementPlanner.nanosOf(question, node).stream()
                    .mapToLong(Long::longValue)
                    .sum();
            entry.put("ms_all_layers", millis(all));
            entry.put("ms_at_least", millis(Math.round(all * node.doubt().leastTime())));
            entry.put("ms_at_most", millis(Math.round(all * node.doubt().mostTime())));
            boolean computes = plan.runs().stream().anyMatch(run -> run.node().equals(node.id()));
            entry.put("computes", computes);
            entry.put("copies", computes ? List.of() : copies(parts, plan.placement(), node.id()));
            PlacementPlan.Note note = plan.notes().stream()
                    .filter(each -> each.node().equals(node.id()))
                    .findFirst()
                    .orElse(null);
            if (note != null) {
                entry.put("with", prediction(note.withTokenNanos(), note.withSlowestNanos()));
                entry.put("without", prediction(note.withoutTokenNanos(), note.withoutSlowestNanos()));
            }
            entry.put("why", why(node, computes, note));
            nodes.add(entry);
        }
        return nodes;
    }

    private static List<List<Integer>> copies(List<LayerRange> parts, Placement placement, NodeId node) {
        return placement.shardsOf(node).stream()
                .map(part -> List.of(parts.get(part).first(), parts.get(part).last()))
                .toList();
    }

    private static @Nullable Map<String, Object> prediction(long tokenNanos, long slowestNanos) {
        if (tokenNanos < 0) {
            return null;
        }
        var prediction = new LinkedHashMap<String, Object>();
        prediction.put("ms_per_token", millis(tokenNanos));
        prediction.put("slowest_ms", millis(slowestNanos));
        return prediction;
    }

    private static String minimised(PlacementPlanner.Question question, PlacementPlan plan) {
        if (question.keep()) {
            return "what must be fetched, since a stage was lost; then the slowest node";
        }
        if (question.sequences() == PlacementPlanner.MANY) {
            return "the slowest node: with many sequences under way it decides how many tokens come; then the time of one token";
        }
        String users = question.sequences() == 1 ? "1 sequence" : question.sequences() + " sequences";
        return plan.slowestDecides()
                ? "for " + users + ": the slowest node, which is busy all the time; then the time of one token"
                : "for " + users + ": the time of one token, since no node is busy all the time";
    }

    private static String why(PlacementPlanner.Candidate node, boolean computes, PlacementPlan.@Nullable Note note) {
        Integer pinned = node.pinned();
        if (pinned != null) {
            return "pinned to shard " + pinned;
        }
        if (note == null) {
            return computes ? "computes" : "left over";
        }
        if (computes) {
            return note.withoutTokenNanos() < 0
                    ? "needed: without it the others have too little memory"
                    : String.format(
                            Locale.ROOT,
                            "without it the slowest node takes %.2f ms and a token %.2f ms",
                            millis(note.withoutSlowestNanos()),
                            millis(note.withoutTokenNanos()));
        }
        if (note.withTokenNanos() < 0) {
            return "left out: no part of the model fits into its memory, or it can take none from the others";
        }
        boolean slower = note.withSlowestNanos() > note.withoutSlowestNanos();
        return String.format(
                Locale.ROOT,
                slower || note.withTokenNanos() > note.withoutTokenNanos()
                        ? "left out: with it the slowest node would take %.2f ms and a token %.2f ms"
                        : "left over: with it the slowest node takes %.2f ms and a token %.2f ms, no better than without",
                millis(note.withSlowestNanos()),
                millis(note.withTokenNanos()));
    }

    private static double millis(long nanos) {
        return nanos / NANOS_PER_MILLI;
    }
}

package shoal.bench.report;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.json.JsonMapper;

/**
 * What one bench found: the machine, the command line, rows, and ratios. Filled by one thread, row by row; all rows have a column
 * for each key that any of them has.
 */
public final class Report {
    private final String name;
    private final Machine machine;
    private final String commandLine;
    private final Map<String, Object> settings = new LinkedHashMap<>();
    private final List<Map<String, Object>> rows = new ArrayList<>();
    private final List<Ratio> ratios = new ArrayList<>();
    private final List<String> notes = new ArrayList<>();
    private boolean failed;

    /**
     * Ours over theirs: above 1, we are faster.
     *
     * @param value a median over pairs of one run where there are several
     * @param target what it is meant to reach, null where nothing is promised
     */
    public record Ratio(String what, double value, @Nullable Double target) {}

    public Report(String name, Machine machine) {
        this.name = name;
        this.machine = machine;
        commandLine = "./shoal bench " + System.getProperty("shoal.bench.arguments", name);
    }

    /** One word or number that all rows share. */
    public Report setting(String key, Object value) {
        settings.put(key, value);
        return this;
    }

    /** A row, as key and value in turn. Values are text, whole numbers, or doubles (shown with four digits). */
    public Report row(Object... keysAndValues) {
        var row = new LinkedHashMap<String, Object>();
        for (int i = 0; i + 1 < keysAndValues.length; i += 2) {
            row.put((String) keysAndValues[i], keysAndValues[i + 1]);
        }
        rows.add(row);
        return this;
    }

    public Report ratio(String what, double value) {
        ratios.add(new Ratio(what, value, null));
        return this;
    }

    public Report ratio(String what, double value, double target) {
        ratios.add(new Ratio(what, value, target));
        return this;
    }

    /** A sentence that the reader needs, such as a peer that crashed. */
    public Report note(String sentence) {
        notes.add(sentence);
        return this;
    }

    /** The work itself went wrong, such as an answer that is not the right one: the command's exit code says so. */
    public Report fail(String sentence) {
        failed = true;
        return note(sentence);
    }

    public Machine machine() {
        return machine;
    }

    boolean failed() {
        return failed;
    }

    /** One JSON object. */
    public String toJson() {
        var json = new LinkedHashMap<String, Object>();
        json.put("bench", name);
        json.put("command", commandLine);
        json.put("machine", machine);
        json.put("settings", settings);
        json.put("rows", rows);
        json.put("ratios", ratios);
        json.put("notes", notes);
        json.put("failed", failed);
        return JsonMapper.shared().writeValueAsString(json);
    }

    /** For a screen. */
    public String toText() {
        var text = new StringBuilder();
        text.append(name).append("\n").append(machine.line()).append("\n").append("command: " + commandLine + "\n");
        if (!settings.isEmpty()) {
            text.append("settings: ");
            text.append(String.join(
                    ", ",
                    settings.entrySet().stream()
                            .map(each -> each.getKey() + " " + shown(each.getValue()))
                            .toList()));
            text.append("\n");
        }
        text.append("\n").append(table());
        for (Ratio ratio : ratios) {
            text.append(String.format(Locale.ROOT, "%-72s %6.2f ×", ratio.what(), ratio.value()));
            Double target = ratio.target();
            if (target != null) {
                text.append(String.format(Locale.ROOT, "  (aim %.2f: %s)", target, verdict(ratio.value(), target)));
            }
            text.append("\n");
        }
        for (String note : notes) {
            text.append("note: ").append(note).append("\n");
        }
        return text.toString();
    }

    private static String verdict(double value, double target) {
        return value >= target ? "reached" : "not reached";
    }

    private String table() {
        var keys = new ArrayList<String>();
        for (Map<String, Object> row : rows) {
            row.keySet().stream().filter(key -> !keys.contains(key)).forEach(keys::add);
        }
        var cells = new ArrayList<List<String>>();
        cells.add(keys);
        for (Map<String, Object> row : rows) {
            cells.add(keys.stream().map(key -> shown(row.get(key))).toList());
        }
        var text = new StringBuilder();
        for (List<String> line : cells) {
            for (int column = 0; column < keys.size(); column++) {
                int at = column;
                int width = cells.stream()
                        .mapToInt(each -> each.get(at).length())
                        .max()
                        .orElse(0);
                boolean number = rows.stream().allMatch(row -> !(row.get(keys.get(at)) instanceof String));
                String cell = line.get(column);
                String pad = " ".repeat(width - cell.length());
                text.append(number ? pad + cell : cell + pad).append(column + 1 < keys.size() ? "  " : "");
            }
            text.append("\n");
        }
        return rows.isEmpty() ? "" : text.append("\n").toString();
    }

    private static String shown(@Nullable Object value) {
        return switch (value) {
            case null -> "";
            case Double number -> number(number);
            case Long number -> String.format(Locale.ROOT, "%,d", number);
            case Integer number -> String.format(Locale.ROOT, "%,d", number);
            default -> value.toString();
        };
    }

    /** About four digits. */
    private static String number(double value) {
        double size = Math.abs(value);
        return String.format(
                Locale.ROOT, size >= 1000 ? "%,.0f" : size >= 100 ? "%.1f" : size >= 1 ? "%.2f" : "%.4f", value);
    }
}

package shoal.verticles.launcher;

import java.io.PrintStream;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import shoal.verticles.bus.Addresses;
import shoal.verticles.bus.CommandBus;
import shoal.verticles.bus.Local;
import tools.jackson.databind.json.JsonMapper;

/**
 * Tells a program that started this process what happens in it: one JSON object a line on standard output. The demo and tests read
 * it; {@code event} names the kind.
 */
final class Events {
    private static final JsonMapper JSON = JsonMapper.builder().build();

    private final PrintStream out;

    Events(PrintStream out) {
        this.out = out;
    }

    void listenTo(CommandBus bus) {
        bus.listen(
                Addresses.STEP,
                Local.Step.class,
                step -> emit("step", Map.of("number", step.number(), "text", step.text())));
        bus.listen(
                Addresses.FETCH_PROGRESS,
                Local.FetchProgress.class,
                progress -> emit(
                        "progress",
                        Map.of(
                                "name",
                                progress.name(),
                                "verified",
                                progress.verifiedBytes(),
                                "size",
                                progress.size(),
                                "bytes",
                                bytes(progress.bytesBySource()))));
        bus.listen(
                Addresses.SWARM_READY,
                Local.SwarmReady.class,
                ready -> emit(
                        "swarm_ready",
                        Map.of(
                                "model",
                                ready.model(),
                                "stages",
                                stages(ready.stages()),
                                "spares",
                                stages(ready.spares()))));
    }

    private static List<Map<String, Object>> stages(List<Local.StageOf> stages) {
        return stages.stream()
                .map(stage -> Map.<String, Object>of(
                        "node",
                        stage.node().toHex(),
                        "layers",
                        List.of(stage.layers().first(), stage.layers().last())))
                .toList();
    }

    static Map<String, Long> bytes(Map<Local.Source, Long> bySource) {
        var bytes = new LinkedHashMap<String, Long>();
        for (Local.Source source : Local.Source.values()) {
            bytes.put(source.name().toLowerCase(Locale.ROOT), bySource.getOrDefault(source, 0L));
        }
        return bytes;
    }

    void emit(String event, Map<String, ?> fields) {
        var object = new LinkedHashMap<String, Object>();
        object.put("event", event);
        object.putAll(fields);
        String line = JSON.writeValueAsString(object);
        synchronized (out) {
            out.println(line);
            out.flush();
        }
    }
}

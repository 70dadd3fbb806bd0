package shoal.bench.race;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import shoal.bench.report.BenchCommand;
import shoal.bench.report.Machine;
import shoal.bench.report.ProcessMemory;
import shoal.bench.report.Report;
import shoal.bridge.make.FileType;
import shoal.bridge.make.RandomModel;
import shoal.bridge.make.Recipe;
import shoal.bridge.model.ModelFile;
import shoal.bridge.model.arch.Architectures;
import shoal.codec.gguf.Gguf;
import shoal.codec.gguf.TensorInfo;
import shoal.verticles.cli.Relaunch;

/** The inference engine beside others, on the same file, with the same threads, taking turns. */
@Command(
        name = "engine",
        description = "Prompt and generation speed beside llama-bench binaries, on the same file, taking turns.")
public final class EngineCommand extends BenchCommand {
    private static final int CONTEXT = 4_096;
    private static final long OWN_MEMORY = 300_000_000;
    private static final List<FileType> FOUR_BITS =
            List.of(FileType.Q4_0, FileType.Q4_1, FileType.Q4_K_M, FileType.Q4_K_S, FileType.IQ4_NL, FileType.IQ4_XS);

    @Option(names = "--model", paramLabel = "FILE", description = "A GGUF file instead of random ones.")
    private @Nullable Path model;

    @Option(
            names = "--like",
            defaultValue = "llama-1b",
            paramLabel = "NAME",
            description =
                    "Whose measures random models have, as make-model --list has them (default: ${DEFAULT-VALUE}).")
    @SuppressWarnings("NullAway.Init")
    private String like;

    @Option(
            names = "--types",
            split = ",",
            defaultValue = "Q8_0,Q4_0,Q4_K_M",
            paramLabel = "TYPE",
            description = "Of random models (default: ${DEFAULT-VALUE}).")
    @SuppressWarnings("NullAway.Init")
    private List<String> types;

    @Option(
            names = "--peer",
            paramLabel = "[NAME=]PATH",
            description = "A llama-bench binary: llama.cpp's, ik_llama.cpp's, or one that takes the same options.")
    private List<String> peers = new ArrayList<>();

    @Option(names = "--peer-option", paramLabel = "TEXT", description = "One more option for all peers.")
    private List<String> peerOptions = new ArrayList<>();

    @Option(
            names = "--threads",
            split = ",",
            defaultValue = "1,2",
            paramLabel = "N",
            description = "Computing threads, one run for each (default: ${DEFAULT-VALUE}).")
    @SuppressWarnings("NullAway.Init")
    private List<Integer> threads;

    @Option(
            names = "--kernels",
            split = ",",
            defaultValue = "auto,vector",
            paramLabel = "NAME",
            description = "Shoal's kernels, one row for each (default: ${DEFAULT-VALUE}).")
    @SuppressWarnings("NullAway.Init")
    private List<String> kernels;

    @Option(
            names = "--prompt",
            defaultValue = "512",
            paramLabel = "N",
            description = "Tokens of the prompt (default: ${DEFAULT-VALUE}).")
    private int prompt;

    @Option(
            names = "--generate",
            defaultValue = "64",
            paramLabel = "N",
            description = "Tokens generated (default: ${DEFAULT-VALUE}).")
    private int generate;

    @Option(
            names = "--rounds",
            defaultValue = "3",
            paramLabel = "N",
            description = "How often all take their turn (default: ${DEFAULT-VALUE}).")
    private int rounds;

    @Option(
            names = "--cache",
            paramLabel = "DIR",
            description = "Where random models are kept for the next time; else .shoal/bench beside the script.")
    private @Nullable Path cache;

    @Option(names = "--no-memory", description = "Leave out the memory that shoal generate takes.")
    private boolean noMemory;

    /** What one contestant did, round by round. */
    private record Runs(List<Double> prefill, List<Double> decode) {
        Runs() {
            this(new ArrayList<>(), new ArrayList<>());
        }
    }

    @Override
    protected Report measure() throws IOException, InterruptedException {
        if (prompt < 1 || prompt > CONTEXT || generate < 1 || generate > CONTEXT || rounds < 1) {
            throw new IllegalArgumentException("--prompt is " + prompt + ", --generate is " + generate
                    + ", --rounds is " + rounds + "; allowed are 1.." + CONTEXT + " tokens and 1 round or more.");
        }
        var rivals = new ArrayList<LlamaBench>();
        for (String peer : peers) {
            rivals.add(LlamaBench.parse(peer, peerOptions));
        }
        Map<String, Path> models = models();
        progress("measuring the memory …");
        var report = new Report("engine", Machine.measured())
                .setting("prompt", prompt)
                .setting("generate", generate)
                .setting("rounds", rounds)
                .setting(
                        "warm-up",
                        "two prompts and twice " + generate + " tokens before Shoal's first round; each peer's own");
        for (Map.Entry<String, Path> each : models.entrySet()) {
            for (int count : threads) {
                race(report, each.getKey(), each.getValue(), count, rivals);
            }
            if (!noMemory) {
                memory(report, each.getKey(), each.getValue());
            }
        }
        return report;
    }

    private Map<String, Path> models() throws IOException {
        var models = new LinkedHashMap<String, Path>();
        Path named = model;
        if (named != null) {
            models.put(String.valueOf(named.getFileName()), named);
            return models;
        }
        Recipe recipe = Recipe.of(like);
        Path folder = cache == null ? Path.of(System.getProperty("shoal.home", "."), ".shoal", "bench") : cache;
        Files.createDirectories(folder);
        for (String name : types) {
            FileType type = FileType.of(name);
            Path file = folder.resolve(like + "-" + type + ".gguf");
            if (!Files.exists(file)) {
                progress("making " + file + " …");
                RandomModel.write(recipe, type, false, 1, file, _ -> {});
            }
            models.put(type.name(), file);
        }
        return models;
    }

    private void race(Report report, String name, Path file, int count, List<LlamaBench> rivals)
            throws IOException, InterruptedException {
        var ours = new LinkedHashMap<String, ShoalSide>();
        var runs = new LinkedHashMap<String, Runs>();
        var crashed = new LinkedHashMap<String, String>();
        try {
            for (String each : kernels) {
                ShoalSide side = ShoalSide.start(file, each, count, Math.max(prompt, generate));
                String contestant = "shoal " + side.kernels();
                if (ours.containsKey(contestant)) {
                    side.close(); // auto is one of the others
                    continue;
                }
                ours.put(contestant, side);
                runs.put(contestant, new Runs());
                progress(name + ", " + count + " threads: " + contestant + " warms up …");
                side.ask("prefill " + prompt);
                side.ask("prefill " + prompt);
                side.ask("decode " + generate);
                side.ask("decode " + generate);
            }
            rivals.forEach(rival -> runs.put(rival.name(), new Runs()));
            for (int round = 0; round < rounds; round++) {
                progress(name + ", " + count + " threads: round " + (round + 1) + " of " + rounds + " …");
                for (Map.Entry<String, ShoalSide> side : ours.entrySet()) {
                    Runs of = of(runs, side.getKey());
                    of.prefill.add(side.getValue().ask("prefill " + prompt));
                    of.decode.add(side.getValue().ask("decode " + generate));
                }
                for (LlamaBench rival : rivals) {
                    Runs of = of(runs, rival.name());
                    try {
                        LlamaBench.Rates rates = rival.run(file, count, prompt, generate);
                        of.prefill.add(rates.prefill());
                        of.decode.add(rates.decode());
                    } catch (IOException failure) {
                        crashed.put(rival.name(), String.valueOf(failure.getMessage()));
                        of.prefill.add(Double.NaN);
                        of.decode.add(Double.NaN);
                    }
                }
            }
            tell(report, name, file, count, ours, runs);
            report.setting(
                    name + ", " + count + " threads: share of the file in pages of 2 MiB",
                    ours.values().iterator().next().ask("large-pages"));
        } finally {
            ours.values().forEach(ShoalSide::close);
        }
        crashed.forEach((rival, why) -> report.note(name + ", " + count + " threads: " + rival + " failed: " + why));
    }

    private void tell(
            Report report, String name, Path file, int count, Map<String, ShoalSide> ours, Map<String, Runs> runs)
            throws IOException {
        double bandwidth = report.machine().readBytesPerSecond(count);
        double bytesPerToken = bytesPerToken(file);
        runs.forEach((contestant, of) -> {
            ShoalSide side = ours.get(contestant);
            double decode = median(of.decode);
            if (side == null) {
                report.row(
                        "model", name,
                        "threads", count,
                        "engine", contestant,
                        "prompt tokens/s", median(of.prefill),
                        "generated tokens/s", decode,
                        "of read bandwidth", decode * bytesPerToken / bandwidth);
            } else {
                report.row(
                        "model", name,
                        "threads", count,
                        "engine", contestant,
                        "prompt tokens/s", median(of.prefill),
                        "generated tokens/s", decode,
                        "of read bandwidth", decode * bytesPerToken / bandwidth,
                        "load s", side.loadSeconds());
            }
        });
        boolean fourBits = hasFourBits(file);
        String first = ours.keySet().iterator().next();
        List<Runs> others = runs.entrySet().stream()
                .filter(each -> !ours.containsKey(each.getKey()))
                .map(Map.Entry::getValue)
                .toList();
        for (String contestant : ours.keySet()) {
            Runs of = of(runs, contestant);
            boolean best = contestant.equals(first);
            String what = name + ", " + count + " threads, " + contestant + " over the fastest peer: ";
            double prefill =
                    ratio(of.prefill, others.stream().map(Runs::prefill).toList());
            double decode = ratio(of.decode, others.stream().map(Runs::decode).toList());
            if (!Double.isNaN(prefill)) {
                report.ratio(what + "prompt", prefill, best ? 1.5 : 1.0);
            }
            if (!Double.isNaN(decode)) {
                report.ratio(what + "generation", decode, best ? (fourBits ? 1.1 : 1.3) : 1.0);
            }
        }
        report.ratio(
                name + ", " + count + " threads, " + first + ": share of read bandwidth in generation",
                median(of(runs, first).decode) * bytesPerToken / bandwidth,
                fourBits ? 0.6 : 0.8);
    }

    private static Runs of(Map<String, Runs> runs, String contestant) {
        return Objects.requireNonNull(runs.get(contestant), contestant);
    }

    /** Median over rounds of ours over the fastest of the others in the same round. */
    static double ratio(List<Double> ours, List<List<Double>> others) {
        var ratios = new ArrayList<Double>();
        for (int round = 0; round < ours.size(); round++) {
            int at = round;
            double fastest = others.stream()
                    .mapToDouble(each -> each.get(at))
                    .filter(Double::isFinite)
                    .max()
                    .orElse(Double.NaN);
            ratios.add(ours.get(round) / fastest);
        }
        return median(ratios);
    }

    /** Of those that are numbers; NaN if none is. */
    static double median(List<Double> values) {
        double[] sorted = values.stream()
                .mapToDouble(Double::doubleValue)
                .filter(Double::isFinite)
                .sorted()
                .toArray();
        int middle = sorted.length / 2;
        return sorted.length == 0
                ? Double.NaN
                : sorted.length % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
    }

    /** Whether most of its matrices have four bits, as the file says itself. */
    private static boolean hasFourBits(Path file) throws IOException {
        try (ModelFile opened = ModelFile.open(file)) {
            int type = opened.header().intValue("general.file_type", -1);
            return FOUR_BITS.stream().anyMatch(each -> each.id() == type);
        }
    }

    /** The bytes of weights that one token must see: all but the embedding's other rows, and the experts not chosen. */
    private static double bytesPerToken(Path file) throws IOException {
        try (ModelFile opened = ModelFile.open(file)) {
            Gguf header = opened.header();
            var config = Architectures.config(header);
            double bytes = 0;
            for (TensorInfo tensor : header.tensors()) {
                if (tensor.name().equals("token_embd.weight") && header.tensor("output.weight") != null) {
                    continue;
                }
                boolean expert = tensor.name().contains("_exps.");
                bytes += expert
                        ? (double) tensor.sizeBytes() * config.expertsUsed() / config.experts()
                        : tensor.sizeBytes();
            }
            return bytes;
        }
    }

    /** Runs {@code shoal generate} once and watches how much it holds. */
    private void memory(Report report, String name, Path file) throws IOException, InterruptedException {
        int tokens = 16;
        var command = new ArrayList<String>();
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        command.addAll(Relaunch.FLAGS);
        command.addAll(List.of("-Dshoal.relaunched=true", "-cp", System.getProperty("java.class.path")));
        command.addAll(List.of("shoal.verticles.cli.Main", "generate", "--model", file.toString()));
        command.addAll(List.of("--prompt", "once upon a time", "--tokens", String.valueOf(tokens)));
        Process process = new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                .start();
        long peak = 0;
        while (!process.waitFor(10, TimeUnit.MILLISECONDS)) {
            peak = Math.max(peak, ProcessMemory.peakBytes(process.pid()));
        }
        if (process.exitValue() != 0) {
            report.fail("shoal generate --model " + file + " ended with " + process.exitValue());
        } else if (peak == 0) {
            report.note("this system does not tell how much memory a process takes");
        } else {
            long size = Files.size(file);
            report.setting(name + ": memory of shoal generate", peak).setting(name + ": file", size);
            report.ratio(
                    name + ": file + 300 MB over the memory of shoal generate", (size + OWN_MEMORY) / (double) peak, 1);
        }
    }
}

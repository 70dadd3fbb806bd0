package shoal.bench;

import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Spec;
import shoal.bench.gpu.GpuCommand;
import shoal.bench.micro.HashCommand;
import shoal.bench.micro.MatMulCommand;
import shoal.bench.race.BandwidthCommand;
import shoal.bench.race.EngineCommand;
import shoal.bench.race.TransferCommand;
import shoal.bench.scale.SwarmCommand;
import shoal.bench.serving.ServingCommand;
import shoal.verticles.cli.Relaunch;

/** Where {@code ./shoal bench} begins. A bench is one class, a {@link shoal.bench.report.BenchCommand}, in the list below. */
@Command(
        name = "bench",
        description = "Measure, side by side with others where a binary of theirs is given. Each has --help.",
        mixinStandardHelpOptions = true,
        subcommands = {
            EngineCommand.class,
            TransferCommand.class,
            BandwidthCommand.class,
            GpuCommand.class,
            HashCommand.class,
            MatMulCommand.class,
            SwarmCommand.class,
            ServingCommand.class
        })
public final class Main implements Runnable {
    @Spec
    @SuppressWarnings("NullAway.Init")
    private CommandSpec spec;

    public static void main(String[] args) {
        Relaunch.withFlags(Main.class, args);
        System.setProperty("shoal.bench.arguments", String.join(" ", args));
        System.exit(run(args));
    }

    static int run(String[] args) {
        var line = new CommandLine(new Main()).setCommandName("./shoal bench");
        line.setParameterExceptionHandler((failure, _) -> {
            System.err.println("shoal bench: " + firstLine(failure) + " Try: ./shoal bench --help");
            return CommandLine.ExitCode.USAGE;
        });
        line.setExecutionExceptionHandler((failure, _, _) -> {
            System.err.println("shoal bench: " + firstLine(failure));
            if (System.getenv("SHOAL_BENCH_TRACE") != null) {
                failure.printStackTrace();
            }
            return CommandLine.ExitCode.SOFTWARE;
        });
        return line.execute(args);
    }

    /** Without a name: the list. */
    @Override
    public void run() {
        spec.commandLine().usage(System.out);
    }

    private static String firstLine(Exception failure) {
        String message = failure.getMessage() == null ? failure.toString() : failure.getMessage();
        return message.lines().findFirst().orElse(message);
    }
}

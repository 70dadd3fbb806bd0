package shoal.verticles.cli;

import java.util.List;
import java.util.Map;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code shoal} itself: lists what it can do. */
@Command(
        name = "shoal",
        description = "Ordinary machines share a language model.",
        mixinStandardHelpOptions = true,
        versionProvider = ShoalCommand.Version.class)
final class ShoalCommand implements Runnable {
    /** By the names that stand in their annotations; in the order in which they are listed. */
    static final List<Map.Entry<String, Class<?>>> COMMANDS = List.of(
            entry("demo", DemoCommand.class),
            entry("rendezvous", RoleCommand.Rendezvous.class),
            entry("node", RoleCommand.Node.class),
            entry("coordinator", RoleCommand.Coordinator.class),
            entry("generate", GenerateCommand.class),
            entry("chat", ChatCommand.class),
            entry("apply-template", ApplyTemplateCommand.class),
            entry("split", SplitCommand.class),
            entry("join", JoinCommand.class),
            entry("tokenize", TokenizeCommand.class),
            entry("logits", LogitsCommand.class),
            entry("inspect", InspectCommand.class),
            entry("perplexity", PerplexityCommand.class),
            entry("quantize", QuantizeCommand.class),
            entry("make-model", MakeModelCommand.class),
            entry("torrent", TorrentCommand.class),
            entry("seed", SeedCommand.class),
            entry("rehearse", RehearseCommand.class),
            entry("rehearse-roles", RehearseRolesCommand.class),
            entry("fetch", FetchCommand.class),
            entry("push", PushCommand.class),
            entry("verify-file", VerifyFileCommand.class),
            entry("ls", LsCommand.class),
            entry("rm", RmCommand.class),
            entry("pin", PinCommand.class),
            entry("plan", PlanCommand.class),
            entry("verify", VerifyCommand.class),
            entry("pause", RestCommand.Pause.class),
            entry("resume", RestCommand.Resume.class),
            entry("doctor", DoctorCommand.class));

    @Spec
    @SuppressWarnings("NullAway.Init")
    private CommandSpec spec;

    @Option(
            names = "--log-level",
            scope = CommandLine.ScopeType.INHERIT,
            description = "error, warn, info, debug or trace.",
            paramLabel = "LEVEL")
    void logLevel(String level) {
        if (!List.of("error", "warn", "info", "debug", "trace").contains(level)) {
            throw new CommandLine.ParameterException(
                    spec.commandLine(), "--log-level is '" + level + "', allowed are error, warn, info, debug, trace.");
        }
        System.setProperty(Main.LEVEL_SET, level);
        Main.logLevel(level);
    }

    private static Map.Entry<String, Class<?>> entry(String name, Class<?> command) {
        return Map.entry(name, command);
    }

    /** The command line for these words. Of the commands only the one that is named is made: all take longer than moving a small file. */
    static CommandLine line(String[] args) {
        var line = new CommandLine(new ShoalCommand());
        boolean named = args.length > 0
                && COMMANDS.stream().anyMatch(command -> command.getKey().equals(args[0]));
        for (Map.Entry<String, Class<?>> command : COMMANDS) {
            if (!named || command.getKey().equals(args[0])) {
                line.addSubcommand(command.getKey(), command.getValue());
            }
        }
        return line;
    }

    @Override
    public void run() {
        throw new CommandLine.ParameterException(spec.commandLine(), "No command is given.");
    }

    /** The version of the jar. */
    static final class Version implements CommandLine.IVersionProvider {
        static String number() {
            String version = ShoalCommand.class.getPackage().getImplementationVersion();
            return version == null ? "(from classes)" : version;
        }

        @Override
        public String[] getVersion() {
            return new String[] {"shoal " + number()};
        }
    }
}

package shoal.verticles.cli;

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
        versionProvider = ShoalCommand.Version.class,
        subcommands = {
            DemoCommand.class,
            RoleCommand.Rendezvous.class,
            RoleCommand.Node.class,
            RoleCommand.Coordinator.class,
            GenerateCommand.class,
            ChatCommand.class,
            ApplyTemplateCommand.class,
            SplitCommand.class,
            JoinCommand.class,
            TokenizeCommand.class,
            LogitsCommand.class,
            InspectCommand.class,
            PerplexityCommand.class,
            QuantizeCommand.class,
            MakeModelCommand.class,
            TorrentCommand.class,
            SeedCommand.class,
            RehearseCommand.class,
            FetchCommand.class,
            PushCommand.class,
            VerifyFileCommand.class,
            LsCommand.class,
            RmCommand.class,
            PinCommand.class,
            PlanCommand.class,
            VerifyCommand.class,
            RestCommand.Pause.class,
            RestCommand.Resume.class,
            DoctorCommand.class
        })
final class ShoalCommand implements Runnable {
    @Spec
    @SuppressWarnings("NullAway.Init")
    private CommandSpec spec;

    @Option(
            names = "--log-level",
            scope = CommandLine.ScopeType.INHERIT,
            description = "error, warn, info, debug or trace.",
            paramLabel = "LEVEL")
    void logLevel(String level) {
        if (!java.util.List.of("error", "warn", "info", "debug", "trace").contains(level)) {
            throw new CommandLine.ParameterException(
                    spec.commandLine(), "--log-level is '" + level + "', allowed are error, warn, info, debug, trace.");
        }
        System.setProperty("shoal.log.level.set", level);
        Main.logLevel(level);
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

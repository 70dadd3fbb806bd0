package shoal.verticles.cli;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import java.util.List;
import org.slf4j.LoggerFactory;
import picocli.CommandLine;
import shoal.codec.base.MalformedException;
import shoal.verticles.config.ProfileException;

/** Where the fat jar begins. Every failure that a user can cause ends as one line and an exit code other than 0. */
public final class Main {
    /** A failure that the user can mend. */
    public static final int EXIT_FAILURE = 1;

    /** The command line itself is wrong. */
    public static final int EXIT_USAGE = 2;

    /** The property that tells which level the user has asked for. */
    static final String LEVEL_SET = "shoal.log.level.set";

    private Main() {}

    public static void main(String[] args) {
        Relaunch.withFlags(args);
        if (Relaunch.movesFilesOnly(args)) {
            CommandPeer.beginBeforehand();
        }
        System.exit(run(args));
    }

    static int run(String[] args) {
        CommandLine line = ShoalCommand.line(args);
        line.setCaseInsensitiveEnumValuesAllowed(true);
        line.registerConverter(int.class, Main::wholeNumber);
        line.registerConverter(Integer.class, Main::wholeNumber);
        line.setParameterExceptionHandler((failure, _) -> {
            System.err.println("shoal: " + oneLine(failure) + " Try: shoal "
                    + (failure.getCommandLine().getCommandName().equals("shoal")
                            ? ""
                            : failure.getCommandLine().getCommandName() + " ")
                    + "--help");
            return EXIT_USAGE;
        });
        line.setExecutionExceptionHandler((failure, _, _) -> {
            System.err.println("shoal: " + oneLine(failure));
            if (isBug(failure)) {
                LoggerFactory.getLogger(Main.class).debug("the failure's origin", failure);
            }
            return failure instanceof ProfileException ? EXIT_USAGE : EXIT_FAILURE;
        });
        return line.execute(args);
    }

    /** Sets the level of Shoal's own log; libraries speak from debug on. */
    static void logLevel(String level) {
        ((Logger) LoggerFactory.getLogger("shoal")).setLevel(Level.toLevel(level));
        boolean deep = List.of("debug", "trace").contains(level);
        ((Logger) LoggerFactory.getLogger(org.slf4j.Logger.ROOT_LOGGER_NAME)).setLevel(deep ? Level.WARN : Level.ERROR);
    }

    /** Keeps one part of Shoal to warnings, unless the user has asked for a level. */
    static void onlyWarnings(String logger) {
        if (System.getProperty(LEVEL_SET) == null) {
            ((Logger) LoggerFactory.getLogger(logger)).setLevel(Level.WARN);
        }
    }

    private static int wholeNumber(String text) {
        try {
            return Integer.parseInt(text);
        } catch (NumberFormatException notANumber) {
            throw new CommandLine.TypeConversionException("'" + text + "' is no whole number.");
        }
    }

    private static boolean isBug(Throwable failure) {
        return !(failure instanceof ProfileException || failure instanceof MalformedException);
    }

    private static String oneLine(Throwable failure) {
        Throwable told = failure;
        while ((told instanceof java.util.concurrent.CompletionException
                        || told instanceof java.util.concurrent.ExecutionException
                        || told instanceof java.io.UncheckedIOException)
                && told.getCause() != null) {
            told = told.getCause();
        }
        String message = told.getMessage();
        if (told instanceof java.nio.file.NoSuchFileException) {
            message = message + " does not exist.";
        } else if (told instanceof java.nio.file.AccessDeniedException) {
            message = message + " may not be read or written by this user.";
        } else if (told instanceof java.nio.file.FileAlreadyExistsException) {
            message = message + " exists already, and is not what is needed there. Move it aside, or name another.";
        } else if (message == null || message.isBlank()) {
            message = told.getClass().getSimpleName() + " (run with --log-level debug for its origin)";
        }
        String line = message.lines().findFirst().orElse(message).strip();
        line = line.startsWith("Error: ") ? line.substring("Error: ".length()) : line; // picocli's, of groups
        return line.endsWith(".") || line.endsWith("?") ? line : line + ".";
    }
}

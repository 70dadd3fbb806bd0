package shoal.verticles.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Objects;
import java.util.Set;
import org.junit.jupiter.api.Test;
import picocli.CommandLine.Command;

class ShoalCommandTest {
    @Test
    void commandsAreListedByTheirOwnNames() {
        ShoalCommand.COMMANDS.forEach(command -> assertEquals(
                Objects.requireNonNull(command.getValue().getAnnotation(Command.class))
                        .name(),
                command.getKey()));
        assertEquals(
                ShoalCommand.COMMANDS.size(),
                ShoalCommand.line(new String[] {"--help"}).getSubcommands().size());
    }

    @Test
    void aCommandThatIsNamedIsMadeAlone() {
        assertEquals(
                Set.of("fetch"),
                ShoalCommand.line(new String[] {"fetch", "it"}).getSubcommands().keySet());
    }
}

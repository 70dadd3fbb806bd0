package shoal.verticles.cli;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/**
 * What {@code ./shoal build} notes of the roles' start, made beside the jar where only Maven built it: processes need some half of the
 * processor time to be up. Where it cannot be made, they start without.
 */
final class RoleNotes {
    private static final long BOUND_SECONDS = 120;
    private static final List<String> FLAGS = made();

    private RoleNotes() {}

    /** All flags of a process that runs the jar. */
    static List<String> flags() {
        return FLAGS;
    }

    private static List<String> made() {
        List<String> known = Relaunch.roleFlags(Program.JAR);
        if (!known.equals(Relaunch.FLAGS)) {
            return known;
        }
        var command = new ArrayList<String>();
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        command.addAll(List.of(
                "-XX:AOTCacheOutput=" + Program.JAR.resolveSibling(Relaunch.ROLE_NOTES),
                "-jar",
                Program.JAR.toString(),
                "rehearse-roles"));
        try {
            Process role = new ProcessBuilder(command)
                    .redirectErrorStream(true)
                    .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                    .start();
            if (!role.waitFor(BOUND_SECONDS, TimeUnit.SECONDS)) {
                role.destroyForcibly();
            }
        } catch (IOException none) {
            return known;
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
        }
        return Relaunch.roleFlags(Program.JAR);
    }
}

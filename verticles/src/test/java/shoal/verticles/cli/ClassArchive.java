package shoal.verticles.cli;

import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/**
 * The jar's classes as the JVM lays them out in memory, written once by a role that starts and ends: processes that map them need some
 * six tenths of the processor time to start. Where it cannot be made, they start without.
 */
final class ClassArchive {
    private static final long BOUND_SECONDS = 120;
    private static final List<String> FLAGS = made();

    private ClassArchive() {}

    /** What to give a JVM; empty if there is none. */
    static List<String> flags() {
        return FLAGS;
    }

    private static List<String> made() {
        try {
            Path target = Files.createDirectories(Program.REPOSITORY.resolve("verticles/target"));
            Path archive = target.resolve("classes-" + Files.size(Program.JAR) + "-"
                    + Files.getLastModifiedTime(Program.JAR).toMillis() + ".jsa");
            if (!Files.isRegularFile(archive)) {
                Path fresh = Files.createTempDirectory(target, "archive").resolve("fresh.jsa");
                write(fresh);
                Files.move(fresh, archive, StandardCopyOption.ATOMIC_MOVE);
            }
            // an archive of another JVM is passed over, and nobody is to read about it
            return List.of("-XX:SharedArchiveFile=" + archive, "-Xlog:disable");
        } catch (IOException none) {
            return List.of();
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
            return List.of();
        }
    }

    private static void write(Path archive) throws IOException, InterruptedException {
        var command = new ArrayList<String>();
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        command.addAll(Relaunch.FLAGS);
        command.addAll(List.of(
                "-XX:ArchiveClassesAtExit=" + archive,
                "-Xlog:disable",
                "-Dshoal.relaunched=true",
                "-jar",
                Program.JAR.toString(),
                "rendezvous",
                "--port",
                "0",
                "--events",
                "--exit-with-stdin"));
        Process role = new ProcessBuilder(command)
                .directory(archive.getParent().toFile())
                .redirectError(new File(archive + ".log"))
                .start();
        try (var lines = new BufferedReader(new InputStreamReader(role.getInputStream(), StandardCharsets.UTF_8))) {
            String line = lines.readLine();
            while (line != null && !line.contains("\"ready\"")) {
                line = lines.readLine();
            }
            role.getOutputStream().close();
            if (!role.waitFor(BOUND_SECONDS, TimeUnit.SECONDS)) {
                throw new IOException("the role did not end");
            }
        } finally {
            role.destroyForcibly();
        }
    }
}

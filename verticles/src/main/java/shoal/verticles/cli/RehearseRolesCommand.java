package shoal.verticles.cli;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import shoal.codec.wire.Role;
import shoal.verticles.config.ProfileReader;
import shoal.verticles.launcher.RoleProcess;
import shoal.verticles.launcher.RunningNote;

/**
 * Is a rendezvous, a node and a coordinator at once, until all are up, so that a JVM that takes notes ({@code -XX:AOTCacheOutput}) sees
 * what a role needs to start. The build runs it; {@link Relaunch} hands the notes to whatever computes or joins a swarm.
 */
@Command(name = "rehearse-roles", hidden = true, description = "Start one of each role in this process, and end.")
final class RehearseRolesCommand implements Callable<Integer> {
    private static final Duration BOUND = Duration.ofSeconds(60);

    @Override
    public Integer call() throws IOException, InterruptedException {
        Path directory = Files.createTempDirectory("shoal-rehearse-");
        var started = new ArrayList<RoleProcess>();
        var threads = new ArrayList<Thread>();
        try {
            String bootstrap = "";
            for (Role role : List.of(Role.RENDEZVOUS, Role.NODE, Role.COORDINATOR)) {
                var reader = new ProfileReader();
                Path store = directory.resolve(role.text());
                reader.set("store.directory=" + store);
                reader.set("cluster.name=rehearsal");
                reader.set("quic.port=0");
                reader.set("api.port=0");
                if (!bootstrap.isEmpty()) {
                    reader.option("--bootstrap", "bootstrap", List.of(bootstrap));
                }
                var process = new RoleProcess(reader.read(), role, "shoal " + ShoalCommand.Version.number(), false);
                started.add(process);
                threads.add(Thread.ofPlatform().name(role.text()).start(() -> run(process)));
                process.awaitReady(BOUND);
                if (bootstrap.isEmpty()) {
                    bootstrap = RunningNote.read(store).orElseThrow().quic().toString();
                }
            }
            return CommandLine.ExitCode.OK;
        } finally {
            started.reversed().forEach(RoleProcess::end);
            for (Thread thread : threads) {
                thread.join(BOUND);
            }
            SeedCommand.delete(directory);
        }
    }

    private static void run(RoleProcess process) {
        try {
            process.run(false);
        } catch (IOException failure) {
            System.err.println(failure.getMessage());
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
        }
    }
}

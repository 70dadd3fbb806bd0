package shoal.verticles.demo;

import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.stream.Stream;

/**
 * The folder that one demo's processes live in, under the one for temporary files. It names the processes that it belongs to:
 * the demo itself while it runs, the swarm's when that is kept. So a later demo can tell what a killed one left behind.
 */
final class DemoFolder {
    private static final String PREFIX = "shoal-demo-";
    private static final String PROCESSES = "processes";
    private static final String KEPT = "kept";
    private static final String RUNNING = "running";
    private static final long END_MILLIS = 5000;

    private final Path path;

    private DemoFolder(Path path) {
        this.path = path;
    }

    /** Makes a new one for this process, and removes those whose processes are all gone. */
    static DemoFolder create(Path temporary) throws IOException {
        for (DemoFolder left : all(temporary)) {
            if (left.processes().isEmpty()) {
                left.delete();
            }
        }
        var folder = new DemoFolder(Files.createTempDirectory(temporary, PREFIX));
        folder.write(RUNNING, List.of(ProcessHandle.current()));
        return folder;
    }

    /** Ends all swarms that were kept, and removes their folders; returns how many. */
    static int stopKept(Path temporary) throws IOException {
        int stopped = 0;
        for (DemoFolder folder : all(temporary)) {
            if (folder.lines().getFirst().equals(KEPT)) {
                folder.processes().forEach(DemoFolder::end);
                folder.delete();
                stopped++;
            }
        }
        return stopped;
    }

    Path path() {
        return path;
    }

    /** Notes that these processes stay when this one ends. */
    void keep(List<ProcessHandle> processes) throws IOException {
        write(KEPT, processes);
    }

    void delete() {
        try (Stream<Path> files = Files.walk(path)) {
            files.sorted(Comparator.reverseOrder())
                    .forEach(file -> file.toFile().delete());
        } catch (IOException gone) {
            // nothing left to delete
        }
    }

    /** Those of this user that say what they belong to: the place for temporary files is everybody's. */
    private static List<DemoFolder> all(Path temporary) throws IOException {
        String user = System.getProperty("user.name");
        var folders = new ArrayList<DemoFolder>();
        try (DirectoryStream<Path> entries = Files.newDirectoryStream(temporary, PREFIX + "*")) {
            for (Path entry : entries) {
                if (Files.isDirectory(entry, LinkOption.NOFOLLOW_LINKS)
                        && Files.getOwner(entry).getName().endsWith(user)
                        && Files.isRegularFile(entry.resolve(PROCESSES))) {
                    folders.add(new DemoFolder(entry));
                }
            }
        }
        return folders;
    }

    private void write(String state, List<ProcessHandle> processes) throws IOException {
        var lines = new ArrayList<String>();
        lines.add(state);
        processes.forEach(process -> lines.add(birth(process)));
        Path next = path.resolve(PROCESSES + ".next");
        Files.write(next, lines);
        Files.move(next, path.resolve(PROCESSES), StandardCopyOption.ATOMIC_MOVE);
    }

    /** The state, then one process a line. */
    private List<String> lines() throws IOException {
        try {
            return Files.readAllLines(path.resolve(PROCESSES));
        } catch (NoSuchFileException removedMeanwhile) {
            return List.of(RUNNING);
        }
    }

    /** Those that it belongs to and that still run. */
    private List<ProcessHandle> processes() throws IOException {
        return lines().stream()
                .skip(1)
                .flatMap(birth -> ProcessHandle.allProcesses()
                        .filter(process -> birth(process).equals(birth)))
                .toList();
    }

    /** A process id and when the process began, since ids are given out again. */
    private static String birth(ProcessHandle process) {
        return process.pid()
                + " "
                + process.info().startInstant().map(Instant::toEpochMilli).orElse(0L);
    }

    private static void end(ProcessHandle process) {
        process.destroy();
        try {
            process.onExit().get(END_MILLIS, TimeUnit.MILLISECONDS);
        } catch (InterruptedException | ExecutionException | TimeoutException late) {
            process.destroyForcibly();
        }
    }
}

package shoal.verticles.cli;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;

/** The UDP sockets of another process, as Linux tells them. */
final class UdpSockets {
    static final Path TABLE = Path.of("/proc/net/udp");

    /** Java opens sockets for both families. */
    private static final List<Path> TABLES = List.of(TABLE, Path.of("/proc/net/udp6"));

    private final long pid;
    private final Map<Integer, Boolean> known = new HashMap<>();

    UdpSockets(long pid) {
        this.pid = pid;
    }

    /** Whether a sender is a socket of the process; a port is looked up once. */
    synchronized boolean has(SocketAddress sender) {
        return known.computeIfAbsent(((InetSocketAddress) sender).getPort(), this::isOwned);
    }

    private boolean isOwned(int port) {
        try {
            Set<String> inodes = new HashSet<>();
            for (Path table : TABLES) {
                if (Files.isReadable(table)) {
                    Files.readAllLines(table).stream()
                            .skip(1)
                            .map(line -> line.strip().split("\\s+"))
                            .filter(cells -> cells[1].endsWith(String.format(Locale.ROOT, ":%04X", port)))
                            .forEach(cells -> inodes.add("socket:[" + cells[9] + "]"));
                }
            }
            try (Stream<Path> files = Files.list(Path.of("/proc/" + pid + "/fd"))) {
                return files.anyMatch(file -> inodes.contains(target(file)));
            }
        } catch (IOException gone) {
            return false;
        } catch (UncheckedIOException gone) {
            return false;
        }
    }

    private static String target(Path link) {
        try {
            return Files.readSymbolicLink(link).toString();
        } catch (IOException closedMeanwhile) {
            return "";
        }
    }
}

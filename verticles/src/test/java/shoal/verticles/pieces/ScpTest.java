package shoal.verticles.pieces;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;
import static shoal.verticles.pieces.Peer.await;

import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import shoal.codec.base.Hash256;
import shoal.codec.wire.Role;
import shoal.verticles.store.StoredFile;

/**
 * Files that come into the seed directory by scp from a real OpenSSH server on loopback: seeded when they are whole, replaced, and
 * deleted, without a restart. Where there is no sshd (the variable SHOAL_SSHD may name one), the test is skipped.
 */
class ScpTest {
    @TempDir
    Path directory;

    private final List<Peer> peers = new ArrayList<>();
    private Process server;

    @AfterEach
    void close() {
        peers.forEach(Peer::close);
        if (server != null) {
            server.destroy();
        }
    }

    private static Optional<Path> sshd() {
        String named = System.getenv("SHOAL_SSHD");
        return Stream.of(named == null ? "" : named, "/usr/sbin/sshd")
                .map(Path::of)
                .filter(Files::isExecutable)
                .filter(Files::isRegularFile)
                .findFirst();
    }

    private int start(Path sshd) throws Exception {
        Path home = Files.createDirectory(directory.resolve("ssh"));
        for (String key : List.of("host", "user")) {
            run(
                    "ssh-keygen",
                    "-q",
                    "-t",
                    "ed25519",
                    "-N",
                    "",
                    "-f",
                    home.resolve(key).toString());
        }
        int port;
        try (var probe = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            port = probe.getLocalPort();
        }
        Path config = Files.writeString(
                home.resolve("config"),
                "Port " + port + "\nListenAddress 127.0.0.1\nHostKey " + home.resolve("host")
                        + "\nAuthorizedKeysFile " + home.resolve("user.pub") + "\nStrictModes no\nPermitRootLogin yes\n"
                        + "UsePAM no\nPidFile none\nSubsystem sftp internal-sftp\n");
        server = new ProcessBuilder(sshd.toString(), "-D", "-e", "-f", config.toString())
                .redirectErrorStream(true)
                .redirectOutput(home.resolve("log").toFile())
                .start();
        awaitTrue(() -> answers(port) || !server.isAlive());
        assumeTrue(server.isAlive(), () -> "sshd does not run here: " + log(home.resolve("log")));
        return port;
    }

    private static boolean answers(int port) {
        try (var socket = new Socket("127.0.0.1", port)) {
            return socket.isConnected();
        } catch (IOException notYet) {
            return false;
        }
    }

    private static String log(Path file) {
        try {
            return Files.readString(file);
        } catch (IOException unreadable) {
            return unreadable.toString();
        }
    }

    private void run(String... command) throws Exception {
        Path said = directory.resolve("said");
        Process process = new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(said.toFile())
                .start();
        assertTrue(process.waitFor(60, TimeUnit.SECONDS), () -> String.join(" ", command) + " does not end");
        assertEquals(0, process.exitValue(), () -> log(said));
    }

    private void scp(int port, Path file, Path to) throws Exception {
        run(
                "scp",
                "-q",
                "-P",
                String.valueOf(port),
                "-i",
                directory.resolve("ssh/user").toString(),
                "-o",
                "StrictHostKeyChecking=no",
                "-o",
                "UserKnownHostsFile=/dev/null",
                file.toString(),
                System.getProperty("user.name") + "@127.0.0.1:" + to);
    }

    private static void awaitTrue(BooleanSupplier condition) {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
        while (!condition.getAsBoolean()) {
            assertTrue(System.nanoTime() < end, "it did not come true in 30 s");
            LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(20));
        }
    }

    private static Optional<Hash256> seeded(Peer peer, String name) {
        return peer.store.list().stream()
                .filter(file -> file.isWhole() && file.metainfo().name().equals(name))
                .map(StoredFile::piecesRoot)
                .findFirst();
    }

    @Test
    void whatIsCopiedInIsSeededReplacedAndForgotten() throws Exception {
        Optional<Path> sshd = sshd();
        assumeTrue(sshd.isPresent(), "sshd is not installed");
        int port = start(sshd.get());
        Path seeds = Files.createDirectory(directory.resolve("seeds"));
        var rendezvous =
                new Peer(directory.resolve("rendezvous"), Role.RENDEZVOUS, List.of(), "store.seedDirectory=" + seeds);
        peers.add(rendezvous);
        var node = new Peer(directory.resolve("node"), Role.NODE, List.of(rendezvous.endpoint.bound()));
        peers.add(node);

        byte[] bytes = new byte[3_000_001];
        new Random(1).nextBytes(bytes);
        Path local = Files.write(directory.resolve("shard-v2-3.gguf"), bytes);
        scp(port, local, seeds.resolve("shard-3.gguf"));
        awaitTrue(() -> seeded(rendezvous, "shard-3.gguf").isPresent());
        Hash256 first = seeded(rendezvous, "shard-3.gguf").orElseThrow();
        assertArrayEquals(
                bytes,
                Files.readAllBytes(await(node.fetch(first, "shard-3.gguf")).path()));

        bytes[1_000_000] ^= 1;
        Files.write(local, bytes);
        scp(port, local, seeds.resolve("shard-3.gguf"));
        awaitTrue(() -> seeded(rendezvous, "shard-3.gguf")
                .filter(now -> !now.equals(first))
                .isPresent());
        Hash256 second = seeded(rendezvous, "shard-3.gguf").orElseThrow();
        assertArrayEquals(
                bytes,
                Files.readAllBytes(await(node.fetch(second, "shard-3.gguf")).path()));

        Files.delete(seeds.resolve("shard-3.gguf"));
        awaitTrue(() -> seeded(rendezvous, "shard-3.gguf").isEmpty());
    }
}

package shoal.bench.race;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.List;
import java.util.Objects;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/** Shoal, and those it is compared with. All but Shoal take part where they are installed. */
final class Rivals {
    private static final List<String> PYTHONS = List.of("/usr/bin/python3", "python3");

    private Rivals() {}

    static List<Rival> all(Path java, Path jar) {
        return List.of(
                new Shoal(java, jar),
                new Libtorrent(true, 65_536),
                new Libtorrent(true, 4 << 20),
                new Libtorrent(false, 65_536),
                new Libtorrent(false, 4 << 20),
                new Libtorrent(false, 16 << 20),
                new Aria2(),
                new Rsync(),
                new Curl());
    }

    static boolean runs(String... command) throws IOException {
        try {
            Process process = new ProcessBuilder(command)
                    .redirectErrorStream(true)
                    .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                    .start();
            return process.waitFor() == 0;
        } catch (IOException missing) {
            return false;
        } catch (InterruptedException ended) {
            Thread.currentThread().interrupt();
            return false;
        }
    }

    private static @Nullable String missing(String program, String packageName) {
        try {
            return runs("sh", "-c", "command -v " + program) ? null : "not installed: Debian's package " + packageName;
        } catch (IOException noShell) {
            return String.valueOf(noShell.getMessage());
        }
    }

    /** {@code shoal seed} and {@code shoal fetch}, as a user runs them: each a new process. */
    record Shoal(Path java, Path jar) implements Rival {
        private static final Pattern PORT = Pattern.compile("\"port\":(\\d+)");
        private static final Pattern UPLOADED = Pattern.compile("\"uploaded\":(\\d+)");
        private static final Pattern HASH = Pattern.compile("\"info_hash\":\"([0-9a-f]{64})\"");

        @Override
        public String name() {
            return "shoal";
        }

        @Override
        public @Nullable String whyMissing() {
            return null;
        }

        @Override
        public List<String> server(Path file, Path work, int port) {
            return List.of(
                    java.toString(),
                    "-jar",
                    jar.toString(),
                    "seed",
                    file.toString(),
                    "--json",
                    "--store",
                    work.resolve("store").toString());
        }

        @Override
        public String readySign() {
            return "{\"port\"";
        }

        @Override
        public List<String> receiver(Path file, Path work, int port, String ready, Path out) {
            return List.of(
                    java.toString(),
                    "-jar",
                    jar.toString(),
                    "fetch",
                    first(HASH, ready),
                    "--from",
                    "127.0.0.1:" + first(PORT, ready),
                    "--out",
                    out.toString(),
                    "--json");
        }

        @Override
        public @Nullable Long uploadedBytes(Path work, String lastLine) {
            Matcher matcher = UPLOADED.matcher(lastLine);
            return matcher.find() ? Long.valueOf(matcher.group(1)) : null;
        }

        private static String first(Pattern pattern, String text) {
            Matcher matcher = pattern.matcher(text);
            if (!matcher.find()) {
                throw new IllegalStateException("shoal seed said " + text);
            }
            return matcher.group(1);
        }
    }

    /** Version 2 torrents; the script lies beside this class. */
    record Libtorrent(boolean encrypted, int pieceBytes) implements Rival {
        @Override
        public String name() {
            return "libtorrent, " + (encrypted ? "encrypted" : "plain") + ", pieces of " + (pieceBytes >> 10) + " KiB";
        }

        static @Nullable String python() throws IOException {
            for (String python : PYTHONS) {
                if (runs(python, "-c", "import libtorrent")) {
                    return python;
                }
            }
            return null;
        }

        @Override
        public @Nullable String whyMissing() {
            try {
                return python() == null ? "not installed: Debian's package python3-libtorrent" : null;
            } catch (IOException failure) {
                return String.valueOf(failure.getMessage());
            }
        }

        @Override
        public List<String> server(Path file, Path work, int port) throws IOException {
            Path script = script(work);
            return List.of(
                    Objects.requireNonNull(python()),
                    script.toString(),
                    "seed",
                    file.toString(),
                    work.resolve("it.torrent").toString(),
                    String.valueOf(pieceBytes),
                    encrypted ? "yes" : "no",
                    String.valueOf(port));
        }

        static Path script(Path work) throws IOException {
            Path script = work.resolve("libtorrent_side.py");
            try (InputStream text = Objects.requireNonNull(Rivals.class.getResourceAsStream("libtorrent_side.py"))) {
                Files.copy(text, script, StandardCopyOption.REPLACE_EXISTING);
            }
            return script;
        }

        @Override
        public String readySign() {
            return "ready";
        }

        @Override
        public List<String> receiver(Path file, Path work, int port, String ready, Path out) throws IOException {
            return List.of(
                    Objects.requireNonNull(python()),
                    work.resolve("libtorrent_side.py").toString(),
                    "fetch",
                    work.resolve("it.torrent").toString(),
                    out.toString(),
                    encrypted ? "yes" : "no",
                    String.valueOf(port));
        }

        @Override
        public @Nullable Long uploadedBytes(Path work, String lastLine) {
            return lastLine.startsWith("uploaded ") ? Long.valueOf(lastLine.substring("uploaded ".length())) : null;
        }
    }

    /** The sum of the numbers that a pattern finds in a log. */
    private static @Nullable Long sum(Path log, Pattern number) throws IOException {
        if (!Files.exists(log)) {
            return null;
        }
        try (Stream<String> lines = Files.lines(log)) {
            return lines.map(number::matcher)
                    .filter(Matcher::find)
                    .mapToLong(matcher -> Long.parseLong(matcher.group(1)))
                    .sum();
        }
    }

    private static final Pattern NGINX_SENT = Pattern.compile("^(\\d+)$");
    private static final Pattern RSYNC_SENT = Pattern.compile("sent (\\d+) bytes");

    /** nginx with TLS; also for {@link Aria2}. */
    static List<String> nginx(Path file, Path work, int port) throws IOException, InterruptedException {
        Path key = work.resolve("key.pem");
        Path certificate = work.resolve("certificate.pem");
        if (!runs(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
                "-days",
                "1",
                "-subj",
                "/CN=localhost",
                "-keyout",
                key.toString(),
                "-out",
                certificate.toString())) {
            throw new IOException("openssl makes no certificate");
        }
        Path settings = work.resolve("nginx.conf");
        Files.writeString(settings, String.format("""
                        daemon off; master_process off; pid %1$s/nginx.pid; error_log %1$s/nginx.log;
                        events { worker_connections 64; }
                        http { log_format sent '$body_bytes_sent'; access_log %1$s/sent.log sent; sendfile on; client_body_temp_path %1$s; proxy_temp_path %1$s; fastcgi_temp_path %1$s;
                          uwsgi_temp_path %1$s; scgi_temp_path %1$s;
                          server { listen 127.0.0.1:%2$d ssl; ssl_certificate %3$s; ssl_certificate_key %4$s; root %5$s; } }
                        """, work, port, certificate, key, file.getParent()));
        return List.of("nginx", "-p", work.toString(), "-c", settings.toString());
    }

    private static String url(Path file, int port) {
        return "https://127.0.0.1:" + port + "/" + file.getFileName();
    }

    /** Whose other side is nginx over TLS. */
    private interface FromNginx extends Rival {
        @Override
        default List<String> server(Path file, Path work, int port) throws IOException, InterruptedException {
            return nginx(file, work, port);
        }

        @Override
        default @Nullable String readySign() {
            return null;
        }

        @Override
        default @Nullable Long uploadedBytes(Path work, String lastLine) throws IOException {
            return sum(work.resolve("sent.log"), NGINX_SENT);
        }
    }

    /** One connection over TLS, then the hash of the file: no piece is verified before the end. */
    record Curl() implements FromNginx {
        @Override
        public String name() {
            return "curl over TLS from nginx, then sha256sum";
        }

        @Override
        public @Nullable String whyMissing() {
            String server = missing("nginx", "nginx-light");
            return server == null ? missing("curl", "curl") : server;
        }

        @Override
        public List<String> receiver(Path file, Path work, int port, String ready, Path out) {
            return List.of(
                    "sh",
                    "-c",
                    "curl -sSk -o \"$1\" \"$2\" && sha256sum \"$1\"",
                    "sh",
                    out.resolve("it").toString(),
                    url(file, port));
        }
    }

    /** Four connections over TLS, and its own check of the file's SHA-256. */
    record Aria2() implements FromNginx {
        @Override
        public String name() {
            return "aria2 over TLS from nginx, 4 connections, checked";
        }

        @Override
        public @Nullable String whyMissing() {
            String server = missing("nginx", "nginx-light");
            return server == null ? missing("aria2c", "aria2") : server;
        }

        @Override
        public List<String> receiver(Path file, Path work, int port, String ready, Path out) {
            return List.of(
                    "sh",
                    "-c",
                    "aria2c -q --no-conf --check-certificate=false --file-allocation=none -x4 -s4 -d \"$1\" -o it \"$2\""
                            + " && sha256sum \"$1/it\"",
                    "sh",
                    out.toString(),
                    url(file, port));
        }
    }

    /** In the clear, from a daemon; it checks what it received by a hash of its own. */
    record Rsync() implements Rival {
        @Override
        public String name() {
            return "rsync from a daemon, plain";
        }

        @Override
        public @Nullable String whyMissing() {
            return missing("rsync", "rsync");
        }

        @Override
        public List<String> server(Path file, Path work, int port) throws IOException {
            Path settings = work.resolve("rsyncd.conf");
            Files.writeString(
                    settings,
                    "use chroot = no\n[files]\npath = " + file.getParent() + "\nread only = yes\nuid = "
                            + System.getProperty("user.name") + "\ngid = *\n");
            return List.of(
                    "rsync",
                    "--daemon",
                    "--no-detach",
                    "--address=127.0.0.1",
                    "--port=" + port,
                    "--config=" + settings,
                    "--log-file=" + work.resolve("rsync.log"));
        }

        @Override
        public @Nullable String readySign() {
            return null;
        }

        @Override
        public @Nullable Long uploadedBytes(Path work, String lastLine) throws IOException {
            return sum(work.resolve("rsync.log"), RSYNC_SENT);
        }

        @Override
        public List<String> receiver(Path file, Path work, int port, String ready, Path out) {
            return List.of(
                    "rsync", "-W", "rsync://127.0.0.1:" + port + "/files/" + file.getFileName(), out.toString() + "/");
        }
    }
}

package shoal.verticles.cli;

import java.io.IOException;
import java.io.InputStream;
import java.net.URI;
import java.net.URISyntaxException;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.FileChannel;
import java.nio.channels.ReadableByteChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.locks.LockSupport;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.Hash256;
import shoal.codec.base.MalformedException;
import shoal.codec.metainfo.BlockHasher;
import shoal.codec.metainfo.MerkleTree;
import shoal.codec.metainfo.Metainfo;
import shoal.codec.metainfo.Pieces;

/**
 * A file from a plain web server, of which nothing is known but the address: one stream, hashed as it comes, taken up where it
 * stopped (If-Range, RFC 9110 section 13.1.5). What it is, nobody but the server says; its hash tells others.
 */
final class WebDownload {
    private static final int BUFFER_BYTES = 1 << 20;
    private static final int MAX_ATTEMPTS = 6;
    private static final Pattern CONTENT_RANGE = Pattern.compile("bytes (\\d+)-(\\d+)/(\\d+)");

    private final URI address;
    private final Path place;
    private final Path partial;
    private final Path validator;
    private final TransferProgress progress;
    private final long bytesPerSecond;
    private final long startNanos = System.nanoTime();
    private long received;

    /**
     * What came.
     *
     * @param http bytes that travelled
     * @param local bytes that an earlier attempt had left
     */
    record Done(Metainfo metainfo, long http, long local) {}

    /**
     * @param scratch where the unfinished file lies
     * @param bytesPerSecond at most; 0 for no limit
     */
    WebDownload(URI address, Path place, Path scratch, long bytesPerSecond, TransferProgress progress)
            throws IOException {
        this.bytesPerSecond = bytesPerSecond;
        this.address = address;
        this.place = place;
        this.progress = progress;
        Path directory = Files.createDirectories(scratch.resolve("web"));
        String name = Hash256.sha256(address.toString().getBytes(StandardCharsets.UTF_8))
                .toHex();
        partial = directory.resolve(name + ".part");
        validator = directory.resolve(name + ".etag");
    }

    /** The last part of the address' path. @throws IOException if there is none */
    static String nameOf(URI address) throws IOException {
        String path = address.getPath() == null ? "" : address.getPath();
        String name = path.substring(path.lastIndexOf('/') + 1);
        if (name.isEmpty()) {
            throw new IOException(address + " names no file. Give the whole address of one.");
        }
        return Metainfo.checkName(name);
    }

    /** Blocks until the file is at its place. @throws IOException with one line; what has come is kept for the next time */
    Done run() throws IOException, InterruptedException {
        IOException last = null;
        long at = -1;
        try (HttpClient http = HttpClient.newBuilder()
                .followRedirects(HttpClient.Redirect.NORMAL)
                .connectTimeout(Duration.ofSeconds(15))
                .build()) {
            for (int attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
                try {
                    return attempt(http);
                } catch (WrongAnswerException wrong) {
                    throw wrong;
                } catch (IOException broken) {
                    last = broken;
                    long now = Files.exists(partial) ? Files.size(partial) : 0;
                    if (now > at) {
                        attempt = 0; // it goes on, if slowly
                    }
                    at = now;
                    Thread.sleep(Math.min(200L << attempt, 5_000));
                }
            }
        }
        String why = last == null || last.getMessage() == null ? String.valueOf(last) : last.getMessage();
        throw new IOException(address + " cannot be fetched: " + why + ". What is here is kept; start it again.");
    }

    private static final class WrongAnswerException extends IOException {
        private static final long serialVersionUID = 1L;

        WrongAnswerException(String message) {
            super(message);
        }
    }

    private Done attempt(HttpClient http) throws IOException, InterruptedException {
        long here = Files.exists(partial) ? Files.size(partial) : 0;
        String mark = here > 0 && Files.exists(validator) ? Files.readString(validator) : "";
        if (mark.isEmpty()) {
            here = 0; // without a mark nobody can say that it is still the same file
        }
        var request = HttpRequest.newBuilder(address).timeout(Duration.ofSeconds(60));
        if (here > 0) {
            request.header("Range", "bytes=" + here + "-").header("If-Range", mark);
        }
        HttpResponse<InputStream> response = http.send(request.build(), HttpResponse.BodyHandlers.ofInputStream());
        try (InputStream body = response.body()) {
            long size = size(response, here);
            if (response.statusCode() != 206) {
                here = 0;
            }
            Files.writeString(validator, mark(response));
            return receive(body, here, size);
        }
    }

    private long size(HttpResponse<?> response, long here) throws IOException {
        int status = response.statusCode();
        if (status == 416) {
            Files.deleteIfExists(partial);
            throw new IOException("the file there has become shorter");
        }
        if (status != 200 && status != 206) {
            String line = address + " answers " + status + ". Check the address"
                    + (status == 401 || status == 403 ? "; it may ask for a login" : "") + ".";
            throw status >= 500 ? new IOException(line) : new WrongAnswerException(line);
        }
        if (status == 200) {
            return response.headers()
                    .firstValueAsLong("Content-Length")
                    .orElseThrow(() -> new WrongAnswerException(address + " does not say how long the file is."));
        }
        Matcher range = CONTENT_RANGE.matcher(
                response.headers().firstValue("Content-Range").orElse(""));
        if (!range.matches() || Long.parseLong(range.group(1)) != here) {
            throw new WrongAnswerException(address + " answers another range than was asked for.");
        }
        return Long.parseLong(range.group(3));
    }

    /** A strong mark of this version of the file, or nothing. */
    private static String mark(HttpResponse<?> response) {
        String tag = response.headers().firstValue("ETag").orElse("");
        return !tag.isEmpty() && !tag.startsWith("W/")
                ? tag
                : response.headers().firstValue("Last-Modified").orElse("");
    }

    private Done receive(InputStream body, long here, long size) throws IOException {
        if (size < 1 || size > Pieces.MAX_LENGTH) {
            throw new WrongAnswerException(address + " has " + size + " bytes, allowed 1.." + Pieces.MAX_LENGTH + ".");
        }
        var tree = new MerkleTree(Pieces.of(size));
        String name = String.valueOf(place.getFileName());
        try (FileChannel file = FileChannel.open(
                        partial, StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE);
                ReadableByteChannel stream = Channels.newChannel(body)) {
            file.truncate(here);
            ByteBuffer buffer = ByteBuffer.allocateDirect(BUFFER_BYTES);
            for (long at = 0; at < size; at += BUFFER_BYTES) {
                buffer.clear().limit((int) Math.min(BUFFER_BYTES, size - at));
                while (buffer.hasRemaining() && at + buffer.position() < here) {
                    int wanted = (int) Math.min(buffer.remaining(), here - at - buffer.position());
                    ByteBuffer part = buffer.slice(buffer.position(), wanted);
                    int count = file.read(part, at + buffer.position());
                    if (count < 0) {
                        throw new IOException(partial + " has become shorter");
                    }
                    buffer.position(buffer.position() + count);
                }
                int begin = buffer.position();
                while (buffer.hasRemaining()) {
                    int from = buffer.position();
                    int count = stream.read(buffer);
                    if (count < 0) {
                        throw new IOException("the connection ended early");
                    }
                    received += count;
                    keepPace();
                    ByteBuffer part = buffer.duplicate().position(from).limit(from + count);
                    while (part.hasRemaining()) {
                        file.write(part, at + part.position());
                    }
                }
                if (buffer.position() > begin) {
                    progress.tell(name, at + buffer.position(), size, Map.of());
                }
                tree.add(buffer.flip(), BlockHasher.plain());
            }
            file.force(true);
        }
        if (Files.exists(place)) {
            throw new WrongAnswerException(
                    place + " exists, so the file stays at " + partial + ". Move it aside, or choose another --out.");
        }
        Files.move(partial, place);
        Files.deleteIfExists(validator);
        return new Done(Metainfo.of(name, tree.finish()), received, size - Math.min(size, received));
    }

    /** Waits as long as what has come takes at the rate that is allowed. */
    private void keepPace() {
        if (bytesPerSecond > 0) {
            double seconds = (double) received / bytesPerSecond;
            LockSupport.parkNanos((long) (seconds * 1e9) - (System.nanoTime() - startNanos));
        }
    }

    /** The address, if a text is one of a web server. */
    static @Nullable URI address(String text) {
        try {
            return text.matches("(?i)https?://.*") ? new URI(text) : null;
        } catch (URISyntaxException wrong) {
            throw new MalformedException("'" + text + "' is no address of a web server: " + wrong.getReason(), wrong);
        }
    }
}

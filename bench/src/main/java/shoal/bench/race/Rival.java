package shoal.bench.race;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** One way to bring a file from one process to others on this machine. */
interface Rival {
    String name();

    /** Why it cannot take part here, in one line; null if it can. */
    @Nullable String whyMissing();

    /** Makes ready and says what hands the file out; a line that begins with {@link #readySign} tells that it does. */
    List<String> server(Path file, Path work, int port) throws IOException, InterruptedException;

    /** How the server's first line of output begins; null if it says nothing and its TCP port tells. */
    @Nullable String readySign();

    /**
     * What one receiver runs: it ends when all of it is there and verified.
     *
     * @param ready the server's line, empty if there is none
     * @param out a new directory
     */
    List<String> receiver(Path file, Path work, int port, String ready, Path out) throws IOException;

    /**
     * Bytes of the file that the server sent, counted by itself; null if it does not tell. Asked when it has ended.
     *
     * @param lastLine of its output, empty if there is none
     */
    @Nullable Long uploadedBytes(Path work, String lastLine) throws IOException;
}

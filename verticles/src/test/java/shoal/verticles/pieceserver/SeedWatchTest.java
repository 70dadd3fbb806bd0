package shoal.verticles.pieceserver;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class SeedWatchTest {
    @TempDir
    Path directory;

    @Test
    void whatIsThereAtFirstIsSettledAndToldOnce() throws IOException {
        Path file = write("shard-0.gguf", 5);
        write("notes.txt", 5);
        write(".shard-1.gguf", 5);
        write("empty.gguf", 0);
        Files.createDirectory(directory.resolve("folder.gguf"));
        var watch = new SeedWatch(List.of(directory));
        assertEquals(new SeedWatch.Change(List.of(file), List.of()), watch.first());
        nothing(watch, 5);
    }

    @Test
    void aFileThatGrowsSettlesOnlyWhenItStandsStill() throws IOException {
        var watch = new SeedWatch(List.of(directory));
        watch.first();
        Path file = write("shard-0.gguf", 1);
        for (int i = 0; i < 10; i++) {
            nothing(watch, SeedWatch.STILL_LOOKS);
            Files.write(file, new byte[1], StandardOpenOption.APPEND);
        }
        nothing(watch, SeedWatch.STILL_LOOKS);
        assertEquals(new SeedWatch.Change(List.of(file), List.of()), watch.look());
        nothing(watch, 5);
    }

    @Test
    void aReplacedFileIsToldAgainAndADeletedOneIsGone() throws IOException {
        Path file = write("shard-0.gguf", 5);
        var watch = new SeedWatch(List.of(directory));
        watch.first();
        write("shard-0.gguf", 6);
        nothing(watch, SeedWatch.STILL_LOOKS);
        assertEquals(new SeedWatch.Change(List.of(file), List.of()), watch.look());
        write("shard-0.gguf", 7);
        nothing(watch, 1);
        Files.delete(file);
        assertEquals(new SeedWatch.Change(List.of(), List.of(file)), watch.look());
        nothing(watch, 5);
    }

    @Test
    void aDirectoryThatIsMadeLaterIsSeen() throws IOException {
        var watch = new SeedWatch(List.of(directory.resolve("later"), directory));
        watch.first();
        nothing(watch, 1);
        Files.createDirectory(directory.resolve("later"));
        Path file = write("later/shard-0.gguf", 5);
        nothing(watch, SeedWatch.STILL_LOOKS);
        assertEquals(List.of(file), watch.look().settled());
    }

    private static void nothing(SeedWatch watch, int looks) throws IOException {
        for (int i = 0; i < looks; i++) {
            assertEquals(new SeedWatch.Change(List.of(), List.of()), watch.look(), "look " + i);
        }
    }

    private Path write(String name, int size) throws IOException {
        return Files.write(directory.resolve(name), new byte[size]);
    }
}

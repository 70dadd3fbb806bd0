package shoal.verticles.pieceserver;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
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
        var watch = new SeedWatch(List.of(directory), List.of());
        assertEquals(new SeedWatch.Change(List.of(file), List.of()), watch.first());
        nothing(watch, 5);
    }

    @Test
    void aFileThatGrowsSettlesOnlyWhenItStandsStill() throws IOException {
        var watch = new SeedWatch(List.of(directory), List.of());
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
        var watch = new SeedWatch(List.of(directory), List.of());
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
        var watch = new SeedWatch(List.of(directory.resolve("later"), directory), List.of());
        watch.first();
        nothing(watch, 1);
        Files.createDirectory(directory.resolve("later"));
        Path file = write("later/shard-0.gguf", 5);
        nothing(watch, SeedWatch.STILL_LOOKS);
        assertEquals(List.of(file), watch.look().settled());
    }

    @Test
    void aSingleFileOfAnyNameIsWatchedTooAndOnlyThatOne() throws IOException {
        Path file = write("model.bin", 5);
        write("other.bin", 5);
        var watch = new SeedWatch(List.of(), List.of(file));
        assertEquals(List.of(file), watch.first().settled());
        write("model.bin", 6);
        nothing(watch, SeedWatch.STILL_LOOKS);
        assertEquals(List.of(file), watch.look().settled());
        Files.delete(file);
        assertEquals(List.of(file), watch.look().gone());
        write("model.bin", 6);
        nothing(watch, SeedWatch.STILL_LOOKS);
        assertEquals(List.of(file), watch.look().settled());
    }

    /** As {@code rsync --times} and {@code scp -p} do it: another file comes in its place, of the same size and time. */
    @Test
    void anotherFileOfTheSameSizeAndTimeIsAChange() throws IOException {
        Path file = write("shard-0.gguf", 5);
        var watch = new SeedWatch(List.of(directory), List.of());
        watch.first();
        Path other = write("coming", 5);
        Files.setLastModifiedTime(other, Files.getLastModifiedTime(file));
        Files.move(other, file, StandardCopyOption.REPLACE_EXISTING);
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

package shoal.verticles.demo;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class DemoFolderTest {
    @TempDir
    Path temporary;

    @Test
    void removesWhatNoProcessNeedsAnyMore() throws Exception {
        Process process = longProcess();
        DemoFolder left = DemoFolder.create(temporary);
        left.keep(List.of(process.toHandle()));
        Path strange = Files.createDirectory(temporary.resolve("shoal-demo-of-somebody"));

        DemoFolder second = DemoFolder.create(temporary);
        assertTrue(Files.exists(left.path()), "its process still runs");
        process.destroyForcibly().waitFor();
        DemoFolder third = DemoFolder.create(temporary);

        assertFalse(Files.exists(left.path()), "its process is gone");
        assertTrue(Files.exists(second.path()), "this process runs");
        assertTrue(Files.exists(third.path()), "this process runs");
        assertTrue(Files.exists(strange), "names no process");
    }

    @Test
    void endsOnlyWhatWasKept() throws Exception {
        Process process = longProcess();
        DemoFolder running = DemoFolder.create(temporary);
        DemoFolder kept = DemoFolder.create(temporary);
        kept.keep(List.of(process.toHandle()));

        assertEquals(1, DemoFolder.stopKept(temporary));
        assertTrue(process.waitFor(30, TimeUnit.SECONDS), "still runs");
        assertFalse(Files.exists(kept.path()));
        assertTrue(Files.exists(running.path()));
        assertEquals(0, DemoFolder.stopKept(temporary));
    }

    /** Runs until it is ended, or until nobody holds its standard input any more. */
    private static Process longProcess() throws IOException {
        return new ProcessBuilder("cat").start();
    }
}

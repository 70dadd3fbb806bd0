package shoal.verticles.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class RelaunchTest {
    @TempDir
    Path directory;

    @Test
    void notesAreUsedOnlyIfTheyAreOfThisJar() throws IOException {
        Path jar = Files.createFile(directory.resolve("shoal.jar"));
        Files.setLastModifiedTime(jar, FileTime.fromMillis(2_000_000));
        assertFalse(mentionNotes(Relaunch.moverFlags(jar)));
        Path notes = Files.createFile(directory.resolve("shoal.aot"));
        Files.setLastModifiedTime(notes, FileTime.fromMillis(1_000_000));
        assertFalse(mentionNotes(Relaunch.moverFlags(jar)), "notes of an older jar");
        Files.setLastModifiedTime(notes, FileTime.fromMillis(3_000_000));
        List<String> flags = Relaunch.moverFlags(jar);
        assertTrue(flags.contains("-XX:AOTCache=" + notes), flags.toString());
        assertEquals(flags.stream().distinct().toList(), flags);
        assertEquals(Relaunch.FLAGS, Relaunch.roleFlags(jar));
        Path ofRoles = Files.createFile(directory.resolve(Relaunch.ROLE_NOTES));
        assertTrue(Relaunch.roleFlags(jar).contains("-XX:AOTCache=" + ofRoles));
    }

    @Test
    void whoMovesFilesNeedsNoVectors() throws IOException {
        assertFalse(Relaunch.moverFlags(directory.resolve("shoal.jar")).contains("--add-modules=jdk.incubator.vector"));
        assertTrue(Relaunch.FLAGS.contains("--add-modules=jdk.incubator.vector"));
        assertFalse(Relaunch.movesFilesOnly(new String[] {"node"}));
        assertFalse(Relaunch.movesFilesOnly(new String[] {}));
    }

    private static boolean mentionNotes(List<String> flags) {
        return flags.stream().anyMatch(flag -> flag.startsWith("-XX:AOTCache"));
    }
}

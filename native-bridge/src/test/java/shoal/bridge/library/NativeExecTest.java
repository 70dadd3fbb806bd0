package shoal.bridge.library;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;

class NativeExecTest {
    private static final Path SHELL = Path.of("/bin/sh");

    /** What runs in a process of its own. */
    static final class Caller {
        public static void main(String[] args) {
            NativeExec.replaceProcess(List.of("/no/such/program"));
            System.out.println("still here");
            NativeExec.replaceProcess(List.of(SHELL.toString(), "-c", "echo $$ \"$1\" größer", "sh", args[0]));
            System.out.println("and still here");
        }
    }

    @Test
    void theProcessBecomesTheOtherProgramWithItsNumber() throws IOException, InterruptedException {
        assumeTrue(LibraryFile.isInBuild(), "this build has no native library");
        assumeTrue(Files.isExecutable(SHELL), "there is no " + SHELL);
        Process process = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "--enable-native-access=ALL-UNNAMED",
                        "-cp",
                        System.getProperty("java.class.path"),
                        Caller.class.getName(),
                        "two words")
                .redirectError(ProcessBuilder.Redirect.INHERIT)
                .start();
        String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertEquals(0, process.waitFor());
        assertEquals("still here\n" + process.pid() + " two words größer\n", said);
    }
}

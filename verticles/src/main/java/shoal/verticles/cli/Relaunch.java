package shoal.verticles.cli;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import shoal.bridge.library.NativeExec;
import shoal.bridge.library.NativeLibrary;

/**
 * Starts this program once more with the JVM flags that it needs and that a manifest cannot give: the vector module above all.
 * On Unix by {@code execv}, so that the process id, and with it signals and kill -9, stay right; elsewhere as a child.
 */
public final class Relaunch {
    private static final String MARK = "shoal.relaunched";
    private static final String KEPT_ERROR = "shoal.stderr";
    private static final int STANDARD_ERROR = 2;
    private static final int WRITE_ONLY = 1;

    public static final List<String> FLAGS = List.of(
            "--add-modules=jdk.incubator.vector",
            "--enable-native-access=ALL-UNNAMED",
            "--sun-misc-unsafe-memory-access=allow",
            "--add-exports=java.base/jdk.internal.ref=ALL-UNNAMED",
            "--add-opens=java.base/java.lang=ALL-UNNAMED",
            "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
            "--add-opens=java.management/sun.management=ALL-UNNAMED",
            "--add-opens=jdk.management/com.sun.management.internal=ALL-UNNAMED",
            "-XX:+UseSerialGC");

    /**
     * For commands that only move files: they need no vectors where native code does the hashing, end soon or wait for the network. The
     * optimising compiler costs them more than it gains (it took half of the processor time of fetching 1 GiB), and so would Netty's
     * events for the JVM's recorder. What they leave on the heap is short-lived and small: with little room for it, it is overwritten in
     * the processor's caches, where the JVM's own choice would walk through 100 MB of memory. What is called by reflection is called a
     * few times, so no code is made for it.
     */
    private static final List<String> MOVER_FLAGS = List.of(
            "--enable-native-access=ALL-UNNAMED",
            "--sun-misc-unsafe-memory-access=allow",
            "-XX:+UseSerialGC",
            "-Xmn16m",
            "-XX:TieredStopAtLevel=1",
            "-Djdk.reflect.useNativeAccessorOnly=true",
            "-Dio.netty.jfr.enabled=false");

    private static final Set<String> MOVERS = Set.of("seed", "fetch", "rehearse");

    /** What the JVM noted of {@code rehearse}: classes that are parsed and linked already. Made by the build, beside the jar. */
    private static final String MOVER_NOTES = "shoal.aot";

    /** The same of {@code rehearse-roles}. */
    static final String ROLE_NOTES = "shoal-roles.aot";

    private Relaunch() {}

    static boolean movesFilesOnly(String[] args) {
        return args.length > 0 && MOVERS.contains(args[0]) && NativeLibrary.isInBuild();
    }

    static List<String> moverFlags(Path jar) {
        return withNotes(MOVER_FLAGS, jar, MOVER_NOTES);
    }

    /** {@link #FLAGS} for a process that runs this jar. */
    public static List<String> roleFlags(Path jar) {
        return withNotes(FLAGS, jar, ROLE_NOTES);
    }

    /** {@link #roleFlags} for a process that runs what this one does. */
    static List<String> ownRoleFlags() {
        Path jar = jar();
        return jar == null ? FLAGS : roleFlags(jar);
    }

    /** Notes of another jar or JVM are of no use, and no reason for a word either. */
    private static List<String> withNotes(List<String> needed, Path jar, String name) {
        var flags = new ArrayList<>(needed);
        Path notes = jar.resolveSibling(name);
        try {
            if (Files.isRegularFile(notes)
                    && Files.getLastModifiedTime(notes).compareTo(Files.getLastModifiedTime(jar)) >= 0) {
                flags.add("-XX:AOTCache=" + notes);
                flags.add("-Xlog:aot=off");
                flags.add("-Xlog:cds=off");
            }
        } catch (IOException unreadable) {
            // without notes it starts more slowly
        }
        return flags;
    }

    /** Returns only if the flags are there already, or can't be given; then slower kernels are used and the user is told. */
    static void withFlags(String[] args) {
        Path jar = jar();
        if (jar != null) {
            withFlags(movesFilesOnly(args) ? moverFlags(jar) : roleFlags(jar), List.of("-jar", jar.toString()), args);
        } else {
            restoreStandardError();
        }
    }

    /** As above for another program on this class path, which must hold the jar. */
    public static void withFlags(Class<?> main, String[] args) {
        if (jar() != null) {
            withFlags(FLAGS, List.of("-cp", System.getProperty("java.class.path"), main.getName()), args);
        } else {
            restoreStandardError();
        }
    }

    private static void withFlags(List<String> flags, List<String> program, String[] args) {
        restoreStandardError();
        if (System.getProperty(MARK) != null
                || ModuleLayer.boot().findModule("jdk.incubator.vector").isPresent()) {
            return;
        }
        var command = new ArrayList<String>();
        command.add(Path.of(System.getProperty("java.home"), "bin", isWindows() ? "java.exe" : "java")
                .toString());
        command.addAll(flags);
        command.addAll(ownFlags());
        command.add("-D" + MARK + "=true");
        command.addAll(program);
        command.addAll(List.of(args));
        if (isWindows()) {
            runChild(command);
        } else {
            replaceProcess(command);
        }
    }

    /** The flags of this JVM. The system tells them sooner than the JVM's own management, which takes as long as a small program. */
    private static List<String> ownFlags() {
        List<String> all = List.of(ProcessHandle.current().info().arguments().orElse(new String[0]));
        int program = all.indexOf("-jar");
        return program < 0 ? ManagementFactory.getRuntimeMXBean().getInputArguments() : all.subList(0, program);
    }

    private static @Nullable Path jar() {
        try {
            Path path = Path.of(Relaunch.class
                    .getProtectionDomain()
                    .getCodeSource()
                    .getLocation()
                    .toURI());
            return Files.isRegularFile(path) ? path : null;
        } catch (java.net.URISyntaxException | RuntimeException notAFile) {
            return null;
        }
    }

    private static boolean isWindows() {
        return System.getProperty("os.name", "").startsWith("Windows");
    }

    private static void runChild(List<String> command) {
        try {
            System.exit(new ProcessBuilder(command).inheritIO().start().waitFor());
        } catch (IOException | InterruptedException failure) {
            complain(String.valueOf(failure.getMessage()));
        }
    }

    /**
     * While the new JVM boots, standard error leads nowhere where it would greet every user with a warning that the vector module is an
     * incubator. {@link #restoreStandardError} leads it back.
     */
    private static void replaceProcess(List<String> command) {
        boolean warns = command.contains(FLAGS.getFirst());
        if (!warns) {
            NativeExec.replaceProcess(command);
        }
        try (Arena arena = Arena.ofConfined()) {
            int kept = warns ? silence(arena) : -1;
            if (warns) {
                command.add(1, "-D" + KEPT_ERROR + "=" + kept);
            }
            MemorySegment argv = arena.allocate(ValueLayout.ADDRESS, command.size() + 1L);
            for (int i = 0; i < command.size(); i++) {
                argv.setAtIndex(ValueLayout.ADDRESS, i, arena.allocateFrom(command.get(i)));
            }
            argv.setAtIndex(ValueLayout.ADDRESS, command.size(), MemorySegment.NULL);
            MethodHandle execv = c("execv", ValueLayout.ADDRESS, ValueLayout.ADDRESS);
            int result = (int) execv.invokeExact(arena.allocateFrom(command.getFirst()), argv);
            if (warns) {
                lead(kept);
            }
            complain("execv gave " + result);
        } catch (Throwable failure) {
            complain(String.valueOf(failure.getMessage()));
        }
    }

    /** Lets standard error lead nowhere; returns where it led. */
    private static int silence(Arena arena) throws Throwable {
        MethodHandle dup = c("dup", ValueLayout.JAVA_INT);
        MethodHandle open = c("open", ValueLayout.ADDRESS, ValueLayout.JAVA_INT);
        int kept = (int) dup.invokeExact(STANDARD_ERROR);
        lead((int) open.invokeExact(arena.allocateFrom("/dev/null"), WRITE_ONLY));
        return kept;
    }

    /** Lets standard error lead where this descriptor does; says whether that worked. */
    private static boolean lead(int descriptor) throws Throwable {
        MethodHandle dup2 = c("dup2", ValueLayout.JAVA_INT, ValueLayout.JAVA_INT);
        return (int) dup2.invokeExact(descriptor, STANDARD_ERROR) >= 0;
    }

    private static void restoreStandardError() {
        String kept = System.getProperty(KEPT_ERROR);
        if (kept == null) {
            return;
        }
        try {
            int number = Integer.parseInt(kept);
            boolean restored = lead(number);
            int closed = (int) c("close", ValueLayout.JAVA_INT).invokeExact(number);
            if (!restored || closed < 0) {
                System.out.println("shoal: standard error could not be restored");
            }
        } catch (Throwable failure) {
            System.out.println("shoal: standard error could not be restored: " + failure.getMessage());
        }
    }

    private static void complain(String reason) {
        System.err.println("shoal: could not start itself with the vector module (" + reason
                + "); computing will be slow. Run: java " + FLAGS.getFirst() + " -jar …");
    }

    /** One of the few calls of the C library that a process needs to become another; each one made costs milliseconds. */
    private static MethodHandle c(String name, MemoryLayout... arguments) {
        Linker linker = Linker.nativeLinker();
        return linker.downcallHandle(
                linker.defaultLookup().findOrThrow(name), FunctionDescriptor.of(ValueLayout.JAVA_INT, arguments));
    }
}

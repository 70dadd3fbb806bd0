package shoal.bridge.kernel.opencl;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import org.jspecify.annotations.Nullable;
import shoal.bridge.kernel.DeviceInfo;
import shoal.bridge.kernel.device.DeviceException;
import shoal.bridge.kernel.device.KernelUnit;

/**
 * Compiled kernels, kept in a directory of the user's by the SHA-256 of all that they are made from: source, options, device, driver.
 * A file that the driver does not take is compiled again; a directory that can't be written is done without.
 *
 * @param directory null to compile each time
 */
record ProgramCache(@Nullable Path directory) {
    /** {@code $XDG_CACHE_HOME/shoal/kernels}, or {@code ~/.cache/shoal/kernels} (XDG Base Directory Specification). */
    static ProgramCache ofUser() {
        String named = System.getenv("XDG_CACHE_HOME");
        Path root = named != null && Path.of(named).isAbsolute()
                ? Path.of(named)
                : Path.of(System.getProperty("user.home"), ".cache");
        return new ProgramCache(root.resolve("shoal").resolve("kernels"));
    }

    /** The program of a unit, built. */
    MemorySegment program(OpenCl calls, MemorySegment context, OpenCl.Id id, DeviceInfo info, KernelUnit unit) {
        String source = unit.source();
        Path file = directory == null ? null : directory.resolve(key(source, info) + ".bin");
        MemorySegment kept = file == null ? null : kept(calls, context, id, unit, file);
        if (kept != null) {
            return kept;
        }
        MemorySegment program = calls.createProgram(context, source);
        try {
            calls.buildProgram(program, id, OpenClDevice.OPTIONS, unit.name());
        } catch (DeviceException failure) {
            calls.releaseProgram(program);
            throw failure;
        }
        if (file != null) {
            keep(calls.programBinary(program), file);
        }
        return program;
    }

    static String key(String source, DeviceInfo info) {
        try {
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            for (String part : new String[] {source, OpenClDevice.OPTIONS, info.name(), info.driver()}) {
                digest.update(part.getBytes(StandardCharsets.UTF_8));
                digest.update((byte) 0);
            }
            return HexFormat.of().formatHex(digest.digest());
        } catch (NoSuchAlgorithmException impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    private static @Nullable MemorySegment kept(
            OpenCl calls, MemorySegment context, OpenCl.Id id, KernelUnit unit, Path file) {
        MemorySegment program = null;
        try {
            if (!Files.isRegularFile(file)) {
                return null;
            }
            program = calls.createProgram(context, id, Files.readAllBytes(file));
            calls.buildProgram(program, id, OpenClDevice.OPTIONS, unit.name());
            return program;
        } catch (IOException | DeviceException unusable) {
            if (program != null) {
                calls.releaseProgram(program);
            }
            return null;
        }
    }

    private static void keep(byte[] binary, Path file) {
        if (binary.length == 0) {
            return;
        }
        try {
            Path directory = file.toAbsolutePath().getParent();
            if (directory == null) {
                return;
            }
            Files.createDirectories(directory);
            Path temporary = Files.createTempFile(directory, "kernels", ".part");
            Files.write(temporary, binary, StandardOpenOption.TRUNCATE_EXISTING);
            Files.move(temporary, file, StandardCopyOption.REPLACE_EXISTING, StandardCopyOption.ATOMIC_MOVE);
        } catch (IOException notWritable) {
            return; // compiled again next time
        }
    }
}

package shoal.bridge.kernel.cuda;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import org.jspecify.annotations.Nullable;
import shoal.bridge.kernel.device.DeviceException;
import shoal.bridge.kernel.device.KernelCache;
import shoal.bridge.kernel.device.KernelUnit;

/**
 * Where the PTX of kernels comes from: made by nvcc when this was built, made by NVRTC some other day, or made by NVRTC now. All go by
 * the hash of the source that they were made of, so that none is older than its source.
 *
 * @param compiler null where there is no NVRTC
 * @param builtFirst whether what was made with this build is taken where it fits
 */
record PtxSource(@Nullable Nvrtc compiler, KernelCache kept, boolean builtFirst) {
    /** What src/main/kernels/build.sh compiles for, where there is nvcc. */
    private static final int BUILT_FOR = 80;

    /** Whether kernels for a device of that capability can be had at all. */
    boolean serves(int capability) {
        return compiler != null || capability >= BUILT_FOR && built(new KernelUnit.Layers()) != null;
    }

    /**
     * PTX that the driver compiles for a device.
     *
     * @param capability of the device, times 10
     */
    String ptx(KernelUnit unit, int capability) {
        String built = builtFirst && capability >= BUILT_FOR ? built(unit) : null;
        return built != null ? built : compiledHere(unit, capability);
    }

    /** As {@link #ptx}, made by the NVRTC that is here: a driver may be older than the nvcc that this was built with. */
    String compiledHere(KernelUnit unit, int capability) {
        Nvrtc nvrtc = compiler;
        if (nvrtc == null) {
            throw new DeviceException("the kernels of " + unit.name()
                    + " were not compiled when this was built, and there is no NVRTC to do it now; install CUDA's NVRTC, or"
                    + " name it by " + Nvrtc.ENVIRONMENT);
        }
        int architecture = nvrtc.architectures().stream()
                .filter(known -> known <= capability)
                .reduce((_, later) -> later)
                .orElseThrow(
                        () -> new DeviceException("NVRTC " + nvrtc.version() + " compiles for nothing as old as this"
                                + " GPU, whose compute capability is " + capability / 10 + "." + capability % 10));
        String name =
                KernelCache.key(unit.cudaSource(), Nvrtc.option(architecture), Nvrtc.EXACT, nvrtc.version()) + ".ptx";
        byte[] known = kept.find(name);
        if (known != null) {
            return new String(known, StandardCharsets.UTF_8);
        }
        String made = nvrtc.ptx(unit, architecture);
        kept.keep(name, made.getBytes(StandardCharsets.UTF_8));
        return made;
    }

    /** Null if there was no nvcc, or the source is another by now. */
    private static @Nullable String built(KernelUnit unit) {
        try (InputStream in = PtxSource.class.getResourceAsStream("/kernels/ptx/" + builtName(unit) + ".ptx")) {
            return in == null ? null : new String(in.readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException unreadable) {
            return null;
        }
    }

    /** As {@code sha256sum} names the source that build.sh gives to nvcc. */
    private static String builtName(KernelUnit unit) {
        return KernelCache.sha256(unit.cudaSource().getBytes(StandardCharsets.UTF_8));
    }
}

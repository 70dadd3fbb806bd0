package shoal.bridge.kernel.opencl;

import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;
import shoal.bridge.kernel.DeviceInfo;
import shoal.bridge.kernel.device.DeviceException;
import shoal.bridge.kernel.device.KernelCache;
import shoal.bridge.kernel.device.KernelUnit;

/** Programs as OpenCL's driver made them. What it does not take any more is compiled again. */
record ProgramCache(KernelCache kept) {
    /** The program of a unit, built. */
    MemorySegment program(OpenCl calls, MemorySegment context, OpenCl.Id id, DeviceInfo info, KernelUnit unit) {
        String source = unit.source();
        String name = KernelCache.key(source, OpenClDevice.OPTIONS, info.name(), info.driver()) + ".bin";
        byte[] binary = kept.find(name);
        MemorySegment known = binary == null ? null : known(calls, context, id, unit, binary);
        if (known != null) {
            return known;
        }
        MemorySegment program = calls.createProgram(context, source);
        try {
            calls.buildProgram(program, id, OpenClDevice.OPTIONS, unit.name());
        } catch (DeviceException failure) {
            calls.releaseProgram(program);
            throw failure;
        }
        kept.keep(name, calls.programBinary(program));
        return program;
    }

    private static @Nullable MemorySegment known(
            OpenCl calls, MemorySegment context, OpenCl.Id id, KernelUnit unit, byte[] binary) {
        MemorySegment program = null;
        try {
            program = calls.createProgram(context, id, binary);
            calls.buildProgram(program, id, OpenClDevice.OPTIONS, unit.name());
            return program;
        } catch (DeviceException unusable) {
            if (program != null) {
                calls.releaseProgram(program);
            }
            return null;
        }
    }
}

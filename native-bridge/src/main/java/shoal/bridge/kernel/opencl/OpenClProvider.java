package shoal.bridge.kernel.opencl;

import java.util.ArrayList;
import java.util.List;
import shoal.bridge.kernel.DeviceInfo;
import shoal.bridge.kernel.KernelProvider;
import shoal.bridge.kernel.KernelSettings;
import shoal.bridge.kernel.Kernels;
import shoal.bridge.kernel.device.DeviceException;
import shoal.bridge.kernel.device.DeviceKernels;
import shoal.bridge.kernel.device.KernelCache;

/** Devices that an OpenCL driver offers, GPUs and CPUs. */
public final class OpenClProvider implements KernelProvider {
    @Override
    public String name() {
        return "opencl";
    }

    @Override
    public int speed() {
        return 100;
    }

    @Override
    public boolean runsOnDevices() {
        return true;
    }

    @Override
    public Readiness readiness() {
        return switch (OpenCl.find()) {
            case OpenCl.Found.Missing(String reason) ->
                new Readiness.Missing(
                        reason, "Install the driver of your GPU, or pocl-opencl-icd to try the kernels on a CPU.");
            case OpenCl.Found.Here(OpenCl calls) -> {
                try {
                    yield found(calls).isEmpty()
                            ? new Readiness.Missing(
                                    "the OpenCL library here knows no device",
                                    "Install the driver of your GPU, or pocl-opencl-icd to try the kernels on a CPU.")
                            : new Readiness.Ready();
                } catch (DeviceException failure) {
                    yield new Readiness.Missing(
                            String.valueOf(failure.getMessage()), "See that clinfo lists your device.");
                }
            }
        };
    }

    @Override
    public List<DeviceInfo> devices() {
        return readiness() instanceof Readiness.Ready && OpenCl.find() instanceof OpenCl.Found.Here(OpenCl calls)
                ? found(calls).stream().map(Entry::info).toList()
                : List.of();
    }

    private record Entry(OpenCl.Id id, DeviceInfo info) {}

    /** Devices that can be used, in the drivers' order, GPUs first. */
    private static List<Entry> found(OpenCl calls) {
        List<OpenCl.Id> usable = new ArrayList<>();
        for (boolean processor : new boolean[] {false, true}) {
            for (OpenCl.Id id : calls.devices()) {
                if (processor == isProcessor(calls, id)
                        && calls.deviceNumber(id, OpenCl.DEVICE_AVAILABLE) != 0
                        && calls.deviceNumber(id, OpenCl.DEVICE_COMPILER_AVAILABLE) != 0
                        && calls.deviceNumber(id, OpenCl.DEVICE_ENDIAN_LITTLE) != 0
                        && calls.deviceNumber(id, OpenCl.DEVICE_MAX_WORK_GROUP_SIZE) >= OpenClDevice.LARGEST_GROUP) {
                    usable.add(id);
                }
            }
        }
        List<Entry> entries = new ArrayList<>();
        for (int i = 0; i < usable.size(); i++) {
            OpenCl.Id id = usable.get(i);
            entries.add(new Entry(
                    id,
                    new DeviceInfo(
                            "opencl:" + i,
                            calls.deviceText(id, OpenCl.DEVICE_NAME),
                            calls.platformName(id) + " " + calls.deviceText(id, OpenCl.DRIVER_VERSION),
                            calls.deviceNumber(id, OpenCl.DEVICE_GLOBAL_MEM_SIZE),
                            calls.deviceNumber(id, OpenCl.DEVICE_MAX_MEM_ALLOC_SIZE),
                            isProcessor(calls, id))));
        }
        return entries;
    }

    private static boolean isProcessor(OpenCl calls, OpenCl.Id id) {
        return (calls.deviceNumber(id, OpenCl.DEVICE_TYPE) & OpenCl.DEVICE_TYPE_CPU) != 0;
    }

    @Override
    public Kernels open(KernelSettings settings) {
        if (!(OpenCl.find() instanceof OpenCl.Found.Here(OpenCl calls))) {
            throw new IllegalArgumentException("no OpenCL library here");
        }
        List<Entry> entries = found(calls);
        int index = settings.deviceIndex();
        if (index >= entries.size()) {
            throw new IllegalArgumentException("there is no device opencl:" + index + "; there are "
                    + (entries.isEmpty()
                            ? "none"
                            : String.join(
                                    ", ",
                                    entries.stream()
                                            .map(entry -> entry.info().id() + " ("
                                                    + entry.info().name() + ")")
                                            .toList())));
        }
        Entry entry = entries.get(index);
        return new DeviceKernels(
                new OpenClDevice(calls, entry.id(), entry.info(), new ProgramCache(KernelCache.ofUser())));
    }
}

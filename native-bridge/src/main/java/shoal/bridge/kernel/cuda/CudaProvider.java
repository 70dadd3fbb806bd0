package shoal.bridge.kernel.cuda;

import java.util.ArrayList;
import java.util.List;
import shoal.bridge.kernel.DeviceInfo;
import shoal.bridge.kernel.KernelProvider;
import shoal.bridge.kernel.KernelSettings;
import shoal.bridge.kernel.Kernels;
import shoal.bridge.kernel.device.DeviceException;
import shoal.bridge.kernel.device.DeviceKernels;
import shoal.bridge.kernel.device.KernelCache;

/** NVIDIA's GPUs through CUDA. */
public final class CudaProvider implements KernelProvider {
    /** Of GPUs that kernels compiled beforehand are for. */
    private static final int LEAST_CAPABILITY = 80;

    private static PtxSource source() {
        return new PtxSource(Nvrtc.find(), KernelCache.ofUser(), true);
    }

    @Override
    public String name() {
        return "cuda";
    }

    @Override
    public int speed() {
        return 200;
    }

    @Override
    public boolean runsOnDevices() {
        return true;
    }

    @Override
    public Readiness readiness() {
        return switch (Cuda.find()) {
            case Cuda.Found.Missing(String reason) ->
                new Readiness.Missing(reason, "Install NVIDIA's driver where there is such a GPU.");
            case Cuda.Found.Here _ ->
                devices().isEmpty()
                        ? new Readiness.Missing("CUDA's driver here knows no GPU", "See that nvidia-smi lists it.")
                        : source().serves(LEAST_CAPABILITY)
                                ? new Readiness.Ready()
                                : new Readiness.Missing(
                                        "no libnvrtc here, which compiles the kernels",
                                        "Install CUDA's NVRTC, or name its file by " + Nvrtc.ENVIRONMENT + ".");
        };
    }

    @Override
    public List<DeviceInfo> devices() {
        List<DeviceInfo> found = new ArrayList<>();
        if (Cuda.find() instanceof Cuda.Found.Here(Cuda calls)) {
            try {
                for (int handle : calls.devices()) {
                    found.add(info(calls, found.size(), handle));
                }
            } catch (DeviceException unusable) {
                return List.of();
            }
        }
        return found;
    }

    private static DeviceInfo info(Cuda calls, int index, int handle) {
        long memory = calls.deviceMemory(handle);
        return new DeviceInfo(
                "cuda:" + index, calls.deviceName(handle), "CUDA " + calls.driverVersion(), memory, memory, false);
    }

    @Override
    public Kernels open(KernelSettings settings) {
        if (!(Cuda.find() instanceof Cuda.Found.Here(Cuda calls))) {
            throw new IllegalArgumentException("no CUDA driver here");
        }
        List<Integer> handles = calls.devices();
        int index = settings.deviceIndex();
        if (index >= handles.size()) {
            throw new IllegalArgumentException(
                    "there is no device cuda:" + index + "; there are " + handles.size() + ", counted from 0");
        }
        int handle = handles.get(index);
        return new DeviceKernels(new CudaDevice(calls, source(), handle, info(calls, index, handle)));
    }
}

package shoal.bridge.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Which kernels are taken, with devices of all kinds beside the CPU's. */
class KernelSettingsTest {
    private static final DeviceInfo GPU = new DeviceInfo("gpu:0", "Big", "1", 1 << 30, 1 << 30, false);
    private static final DeviceInfo POCL = new DeviceInfo("gpu:0", "Slow", "1", 1 << 30, 1 << 30, true);

    private record Fake(String name, int speed, boolean runsOnDevices, List<DeviceInfo> devices, boolean ready)
            implements KernelProvider {
        @Override
        public Readiness readiness() {
            return ready ? new Readiness.Ready() : new Readiness.Missing("no driver here", "Install one.");
        }

        @Override
        public Kernels open(KernelSettings settings) {
            throw new AssertionError("only chosen");
        }
    }

    private static KernelChoice choose(String wanted, List<DeviceInfo> devices) {
        return KernelChoice.of(
                new KernelSettings(wanted, 1),
                List.of(
                        new Fake("plain", 1, false, List.of(), true),
                        new Fake("gpu", 100, true, devices, !devices.isEmpty()),
                        new Fake("quick", 10, false, List.of(), true),
                        new Fake("other", 200, true, List.of(GPU), true)));
    }

    @Test
    void noDeviceIsChosenUntriedThatNobodyNamed() {
        assertEquals("quick", choose(null, List.of(POCL, GPU)).provider().name());
        assertEquals("quick", choose(null, List.of(POCL)).provider().name());
        assertEquals("quick", choose("cpu", List.of(GPU)).provider().name());
        assertEquals("gpu", choose("gpu:0", List.of(POCL)).provider().name());
        assertEquals("other", choose("other:0", List.of(GPU)).provider().name());
        assertEquals("plain", choose("plain", List.of(GPU)).provider().name());
    }

    @Test
    void whoHasNoDeviceMissesNone() {
        assertEquals(
                "kernels: quick (the fastest that runs here)",
                choose(null, List.of()).describe());
        String message = assertThrows(IllegalArgumentException.class, () -> choose("gpu:0", List.of()))
                .getMessage();
        assertEquals("gpu kernels can't run: no driver here. Install one.", message);
    }

    @ParameterizedTest
    @CsvSource({"opencl,opencl,0", "OpenCL:0,opencl,0", "opencl:12,opencl,12", "vector,vector,0"})
    void namesADevice(String given, String provider, int index) {
        KernelSettings settings = new KernelSettings(given, 1);
        assertEquals(provider, settings.providerName());
        assertEquals(index, settings.deviceIndex());
    }

    @ParameterizedTest
    @ValueSource(strings = {"opencl:", "opencl:x", "opencl:-1", "opencl:1000", "opencl:0:0"})
    void refusesNumbersThatAreNone(String given) {
        String message = assertThrows(IllegalArgumentException.class, () -> new KernelSettings(given, 1).deviceIndex())
                .getMessage();
        assertTrue(message.startsWith("a device is named as opencl:0"), message);
    }

    @ParameterizedTest
    @CsvSource({"auto,-1", "0,0", "24,24", "99999,99999"})
    void saysHowManyLayersDevicesTake(String text, int layers) {
        assertEquals(layers, KernelSettings.deviceLayers(text));
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "-1", "all", "100000", "1.5"})
    void refusesLayersThatAreNone(String text) {
        String message = assertThrows(IllegalArgumentException.class, () -> KernelSettings.deviceLayers(text))
                .getMessage();
        assertEquals("layers on devices are auto or a number of at most five digits; given is " + text, message);
    }

    @Test
    void takesSeveralDevicesEachOnce() {
        List<KernelSettings> each = new KernelSettings("cuda:0,opencl:1", 3, 7).each();
        assertEquals(List.of(new KernelSettings("cuda:0", 3, 7), new KernelSettings("opencl:1", 3, 7)), each);
        for (String wrong : List.of("cuda:0,cuda:0", "cuda:0" + ",cuda:1".repeat(16))) {
            assertThrows(IllegalArgumentException.class, () -> new KernelSettings(wrong, 1).each(), wrong);
        }
        assertEquals("cuda:0,cuda:1", KernelSettings.providerFor("cuda", "cuda:0,cuda:1"));
        assertThrows(IllegalArgumentException.class, () -> KernelSettings.providerFor("cuda", "cuda:0,opencl:0"));
        assertThrows(IllegalArgumentException.class, () -> KernelChoice.open(new KernelSettings("scalar,vector", 1)));
    }
}

package shoal.bridge.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.Set;
import java.util.function.Supplier;
import org.junit.jupiter.api.Test;
import shoal.bridge.kernel.device.Devices;
import shoal.codec.gguf.GgmlType;

/** Which GPU is taken that nobody named. The "GPUs" are the CPU's kernels, and time is what the test says. */
class DeviceTrialTest {
    private static final KernelSettings ANY = new KernelSettings(null, 1);

    /** Nanoseconds that a run takes by this test's clock. */
    private static final long CPU_NANOS = 100;

    private long now;
    private boolean deviceHasRun;
    private int opened;

    /** A provider of one GPU. */
    private record Provider(boolean processor, Supplier<Kernels> kernels) implements KernelProvider {
        @Override
        public String name() {
            return "gpu";
        }

        @Override
        public int speed() {
            return 100;
        }

        @Override
        public Readiness readiness() {
            return new Readiness.Ready();
        }

        @Override
        public boolean runsOnDevices() {
            return true;
        }

        @Override
        public List<DeviceInfo> devices() {
            return List.of(new DeviceInfo("gpu:0", "Big", "1", 1 << 30, 1 << 30, processor));
        }

        @Override
        public Kernels open(KernelSettings settings) {
            return kernels.get();
        }
    }

    /** The CPU's kernels as a device: its matrices begin so many bytes late. */
    private final class Gpu implements Kernels {
        private final Kernels cpu;
        private final int shift;

        Gpu(int shift) {
            var settings = new KernelSettings(KernelSettings.CPU, 1);
            cpu = KernelChoice.of(settings).provider().open(settings);
            this.shift = shift;
            opened++;
        }

        @Override
        public String name() {
            return "gpu";
        }

        @Override
        public Set<GgmlType> supportedTypes() {
            return cpu.supportedTypes();
        }

        @Override
        public boolean keepsSumOrder() {
            return false;
        }

        @Override
        public PreparedWeights prepare(GgmlType type, int rows, int columns, MemorySegment mapped) {
            if (shift == 0) {
                return cpu.prepare(type, rows, columns, mapped);
            }
            MemorySegment moved = Arena.ofAuto().allocate(mapped.byteSize(), 64);
            moved.asSlice(shift).copyFrom(mapped.asSlice(0, mapped.byteSize() - shift));
            return cpu.prepare(type, rows, columns, moved);
        }

        @Override
        public CompiledStage compile(StageProgram program) {
            CompiledStage stage = cpu.compile(program);
            return new CompiledStage() {
                @Override
                public SequenceMemory openSequence(int capacity) {
                    return stage.openSequence(capacity);
                }

                @Override
                public int pagesInUse() {
                    return stage.pagesInUse();
                }

                @Override
                public void run(StageBatch batch) {
                    stage.run(batch);
                    deviceHasRun = true;
                }

                @Override
                public void close() {
                    stage.close();
                }
            };
        }

        @Override
        public void close() {
            cpu.close();
            opened--;
        }
    }

    private KernelChoice.Opened open(KernelProvider provider, long deviceNanos) {
        // read before and after each run: a run takes what its kernels take
        var trial = new DeviceTrial(() -> {
            now += deviceHasRun ? deviceNanos : CPU_NANOS;
            deviceHasRun = false;
            return now;
        });
        return KernelChoice.openAny(ANY, List.of(provider), trial);
    }

    @Test
    void takesTheOneThatIsRightAndFaster() {
        KernelChoice.Opened found = open(new Provider(false, () -> new Gpu(0)), CPU_NANOS / 2);
        try (Kernels kernels = found.kernels()) {
            assertEquals("gpu", found.provider());
            assertEquals("gpu:0, 2.0 times as fast as the CPU", found.why());
            assertTrue(kernels.name().startsWith("gpu and "), kernels.name());
        }
        assertEquals(0, opened);
    }

    @Test
    void leavesOneThatIsHardlyFaster() {
        KernelChoice.Opened found = open(new Provider(false, () -> new Gpu(0)), CPU_NANOS * 9 / 10);
        found.kernels().close();
        assertFalse(found.provider().equals("gpu"));
        assertTrue(found.why().endsWith("; gpu:0 is not used: it is only 1.1 times as fast as the CPU"), found.why());
        assertEquals(0, opened);
    }

    @Test
    void leavesOneThatIsWrong() {
        KernelChoice.Opened found = open(new Provider(false, () -> new Gpu(34)), 1); // one block of Q8_0
        found.kernels().close();
        assertTrue(found.why().contains("gpu:0 is not used: it multiplies Q8_0 wrongly ("), found.why());
        assertEquals(0, opened);
    }

    @Test
    void leavesOneThatCannotBeOpenedAndThoseThatAreCpus() {
        KernelChoice.Opened found = open(
                new Provider(false, () -> {
                    throw new IllegalArgumentException("out of memory");
                }),
                1);
        found.kernels().close();
        assertTrue(found.why().endsWith("gpu:0 is not used: out of memory"), found.why());
        KernelChoice.Opened other = open(new Provider(true, () -> new Gpu(0)), 1);
        other.kernels().close();
        assertEquals("the fastest that runs here", other.why());
    }

    @Test
    void aDeviceThatIsHereIsNotFoundWrong() {
        var cpu = new KernelSettings(KernelSettings.CPU, 1);
        try (Kernels device = Devices.open();
                Kernels processor = KernelChoice.of(cpu).provider().open(cpu)) {
            DeviceTrial.Verdict verdict = new DeviceTrial(System::nanoTime).compare(device, processor);
            assertTrue(verdict.why().endsWith("times as fast as the CPU"), verdict.why());
        }
    }
}

package shoal.bridge.kernel.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import shoal.bridge.kernel.CacheShape;
import shoal.bridge.kernel.CompiledStage;
import shoal.bridge.kernel.Kernels;
import shoal.bridge.kernel.Op;
import shoal.bridge.kernel.RandomWeights;
import shoal.bridge.kernel.SequenceMemory;
import shoal.bridge.kernel.Slot;
import shoal.bridge.kernel.StageBatch;
import shoal.bridge.kernel.StageProgram;
import shoal.bridge.kernel.device.DeviceKernels;
import shoal.bridge.kernel.device.DeviceKernelsTest;
import shoal.codec.gguf.GgmlType;

/**
 * The same on CUDA's side: its calls, its graphs, and the kernels that only NVIDIA's GPUs have, compiled for the CPU. Whether a GPU
 * does as it is documented to, only a GPU can tell.
 */
class CudaKernelsTest extends DeviceKernelsTest {
    private DeviceKernels kernels;

    /** Tensor cores take activations as F16 or BF16. */
    @Override
    protected double halves() {
        return 1e-2;
    }

    @Override
    protected Kernels openDevice() throws Exception {
        kernels = CudaStandIn.open();
        return kernels;
    }

    /** Else the other tests would be of the common kernels. */
    @ParameterizedTest
    @MethodSource("types")
    void ownKernelsWereSeenToAgree(GgmlType type) {
        try (Arena arena = Arena.ofShared()) {
            int columns = 3 * Math.max(32, type.blockValues());
            StageProgram.Builder builder = new StageProgram.Builder();
            Slot in = builder.slot("in", columns);
            Slot out = builder.slot("out", 45);
            var bytes = RandomWeights.blocks(type, 45 * columns, new Random(1), arena);
            builder.add(new Op.MatMul(kernels.prepare(type, 45, columns, bytes), null, in, out));
            kernels.compile(builder.build(in, out, new CacheShape(0, 1, 1))).close();
        }
        assertEquals(NvidiaProducts.OWN, kernels.products(type));
    }

    /** More than passes through one piece of pinned memory: by threads of their own. */
    @Test
    void aLargeMatrixArrivesWhole() {
        int size = 2_100; // 17.6 MB
        try (Arena arena = Arena.ofShared()) {
            var weights = arena.allocate(GgmlType.F32.sizeBytes((long) size * size), 64);
            for (long i = 0; i < (long) size * size; i++) {
                weights.setAtIndex(ValueLayout.JAVA_FLOAT, i, i % size == i / size ? i / size : 0);
            }
            StageProgram.Builder builder = new StageProgram.Builder();
            Slot in = builder.slot("in", size);
            Slot out = builder.slot("out", size);
            builder.add(new Op.MatMul(kernels.prepare(GgmlType.F32, size, size, weights), null, in, out));
            float[] ones = new float[size];
            Arrays.fill(ones, 1);
            float[] result = new float[size];
            try (CompiledStage stage = kernels.compile(builder.build(in, out, new CacheShape(0, 1, 1)));
                    SequenceMemory sequence = stage.openSequence(1)) {
                stage.run(new StageBatch(
                        List.of(new StageBatch.Slice(sequence, 0, 1)),
                        null,
                        MemorySegment.ofArray(ones),
                        new int[0],
                        MemorySegment.ofArray(result)));
            }
            for (int row = 0; row < size; row++) {
                assertEquals(row, result[row]);
            }
        }
    }

    @Test
    void measuresItsMemoryAndItsBus() {
        long before = kernels.allocatedBytes();
        assertTrue(kernels.copiedBytesPerSecond() > 0);
        assertTrue(kernels.pinnedBytesPerSecond() > 0);
        assertEquals(before, kernels.allocatedBytes());
    }
}

package shoal.bridge.kernel.device;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import shoal.bridge.kernel.CacheShape;
import shoal.bridge.kernel.CompiledStage;
import shoal.bridge.kernel.DeviceInfo;
import shoal.bridge.kernel.Kernels;
import shoal.bridge.kernel.Op;
import shoal.bridge.kernel.PreparedWeights;
import shoal.bridge.kernel.RopeTable;
import shoal.bridge.kernel.SequenceMemory;
import shoal.bridge.kernel.Slot;
import shoal.bridge.kernel.StageBatch;
import shoal.bridge.kernel.StageProgram;
import shoal.codec.gguf.GgmlType;

/** What a stage takes of a device's memory and gives back, on a device that only keeps accounts: it runs on every machine. */
class DeviceMemoryTest {
    private static final int WIDTH = 32;
    private static final int LAYERS = 3;

    /** Bytes of one of the layers' two matrices. */
    private static final long MATRIX_BYTES = (long) WIDTH * WIDTH * Float.BYTES;

    /** Computes nothing, and refuses the allocation with the number given. */
    private static final class Accounts implements Device {
        private final long memory;
        private final int refused;
        private final Map<DeviceBuffer, Long> open = new HashMap<>();
        private int asked;
        private final Set<DeviceGraph> graphs = new HashSet<>();
        private List<DeviceBuffer> noted = new ArrayList<>();
        private boolean noting;
        private int replayed;
        private String launched = "";

        /** The kernel that multiplies otherwise than the common ones, null if none does. */
        private String own;

        private long peak;
        private long uploaded;

        Accounts(long memory, int refused) {
            this.memory = memory;
            this.refused = refused;
        }

        private record Book(String name) implements DeviceFunction {}

        @Override
        public DeviceInfo info() {
            return new DeviceInfo("paper:0", "Ledger", "none", memory, memory, false);
        }

        @Override
        public DeviceBuffer allocate(long bytes) {
            assertTrue(bytes > 0);
            if (asked++ == refused) {
                throw new DeviceException("refused");
            }
            DeviceBuffer buffer = new DeviceBuffer() {
                @Override
                public long bytes() {
                    return bytes;
                }

                @Override
                public void close() {
                    open.remove(this);
                }
            };
            open.put(buffer, bytes);
            assertFalse(noting, "a buffer is allocated while launches are noted");
            peak = Math.max(peak, allocatedBytes());
            return buffer;
        }

        @Override
        public long freeBytes() {
            return memory - allocatedBytes();
        }

        @Override
        public long allocatedBytes() {
            return open.values().stream().mapToLong(Long::longValue).sum();
        }

        @Override
        public void write(DeviceBuffer to, long offset, MemorySegment from) {
            assertFalse(noting, "written while launches are noted");
            assertTrue(open.containsKey(to), "written after it was closed");
            assertTrue(offset + from.byteSize() <= to.bytes());
            uploaded += from.byteSize();
        }

        @Override
        public void read(DeviceBuffer from, long offset, MemorySegment to) {
            assertTrue(open.containsKey(from), "read after it was closed");
            to.fill((byte) (own != null && own.equals(launched) ? 0x41 : 0)); // 12.08 or 0 as F32
        }

        @Override
        public void copy(DeviceBuffer from, long fromOffset, DeviceBuffer to, long toOffset, long bytes) {
            assertTrue(open.containsKey(from) && open.containsKey(to));
            assertTrue(fromOffset + bytes <= from.bytes() && toOffset + bytes <= to.bytes());
        }

        @Override
        public DeviceFunction function(KernelUnit unit, String name) {
            launched = name;
            return new Book(name);
        }

        @Override
        public void launch(
                DeviceFunction function, int groups0, int groups1, int items0, int items1, Argument... arguments) {
            assertTrue(groups0 > 0 && groups1 > 0);
            for (Argument argument : arguments) {
                if (argument instanceof Argument.Memory(DeviceBuffer buffer)) {
                    assertTrue(open.containsKey(buffer), function.name() + " is given a buffer that is closed");
                    if (noting) {
                        noted.add(buffer);
                    }
                }
            }
        }

        @Override
        public long allocations() {
            return asked;
        }

        @Override
        public ProductKernels products() {
            return own == null
                    ? ProductKernels.COMMON
                    : new ProductKernels() {
                        @Override
                        public String name() {
                            return "own";
                        }

                        @Override
                        public Launch dense(GgmlType type, int rows, int columns, int tokens) {
                            return new Launch(tokens > 1 ? own : "right", 1, 1, 1, 1);
                        }

                        @Override
                        public Launch three(GgmlType type, int columns, int rows0, int rows1, int rows2) {
                            return COMMON.three(type, columns, rows0, rows1, rows2);
                        }

                        @Override
                        public Launch experts(GgmlType type, int rows, int columns, boolean one, int tiles) {
                            return COMMON.experts(type, rows, columns, one, tiles);
                        }
                    };
        }

        @Override
        public void beginGraph() {
            assertFalse(noting);
            noting = true;
            noted = new ArrayList<>();
        }

        @Override
        public DeviceGraph endGraph() {
            assertTrue(noting);
            noting = false;
            var graph = new Noted(noted);
            graphs.add(graph);
            return graph;
        }

        private final class Noted implements DeviceGraph {
            private final List<DeviceBuffer> buffers;

            Noted(List<DeviceBuffer> buffers) {
                this.buffers = buffers;
            }

            @Override
            public void close() {
                graphs.remove(this);
            }
        }

        @Override
        public void launch(DeviceGraph graph) {
            assertTrue(graphs.contains(graph), "launched after it was closed");
            for (DeviceBuffer buffer : ((Noted) graph).buffers) {
                assertTrue(open.containsKey(buffer), "a graph names a buffer that is closed");
            }
            replayed++;
        }

        @Override
        public void finish() {
            // nothing is under way
        }

        @Override
        public void close() {
            open.clear();
        }
    }

    private static PreparedWeights matrix(Kernels kernels, Arena arena) {
        return kernels.prepare(GgmlType.F32, WIDTH, WIDTH, arena.allocate(MATRIX_BYTES));
    }

    private static StageProgram program(Kernels kernels, Arena arena) {
        StageProgram.Builder builder = new StageProgram.Builder();
        Slot in = builder.slot("in", WIDTH);
        Slot out = builder.slot("out", WIDTH);
        RopeTable table = new RopeTable(new double[] {1, 0.1}, 1, RopeTable.Pairing.HALVES);
        for (int layer = 0; layer < LAYERS; layer++) {
            builder.add(new Op.MatMul(matrix(kernels, arena), null, in, out))
                    .add(new Op.Rope(out, 8, 4, table))
                    .add(new Op.Store(layer, out, out))
                    .add(new Op.Attention(layer, out, 8, Op.Scores.scaled(1), in))
                    .add(new Op.MatMul(matrix(kernels, arena), null, in, out))
                    .add(new Op.Add(out, in));
        }
        return builder.build(in, out, new CacheShape(LAYERS, 8, 4));
    }

    private static void step(CompiledStage stage, SequenceMemory sequence, int count) {
        stage.run(new StageBatch(
                List.of(new StageBatch.Slice(sequence, sequence.length(), count)),
                null,
                MemorySegment.ofArray(new float[count * WIDTH]),
                new int[0],
                MemorySegment.ofArray(new float[count * WIDTH])));
    }

    /** Refuses each allocation of a stage's life once: whatever fails, all is given back. */
    @Test
    void whateverIsRefusedNothingIsLeft() {
        int refusals = 0;
        for (int refused = 0; ; refused++) {
            Accounts device = new Accounts(1 << 20, refused);
            DeviceKernels kernels = new DeviceKernels(device);
            boolean failed = false;
            try (Arena arena = Arena.ofShared()) {
                try (CompiledStage stage = kernels.compile(program(kernels, arena));
                        SequenceMemory sequence = stage.openSequence(1_000)) {
                    step(stage, sequence, 5);
                    step(stage, sequence, 1);
                    step(stage, sequence, 400);
                } catch (DeviceException expected) {
                    assertEquals("refused", expected.getMessage());
                    failed = true;
                }
            }
            assertEquals(0, kernels.allocatedBytes(), "after allocation " + refused + " was refused");
            if (!failed) {
                break;
            }
            refusals++;
        }
        assertTrue(refusals > 20, "only " + refusals + " allocations");
    }

    @Test
    void aMatrixNamedTwiceIsUploadedOnce() {
        Accounts device = new Accounts(1 << 20, -1);
        DeviceKernels kernels = new DeviceKernels(device);
        try (Arena arena = Arena.ofShared()) {
            MemorySegment bytes = arena.allocate(MATRIX_BYTES);
            StageProgram.Builder builder = new StageProgram.Builder();
            Slot in = builder.slot("in", WIDTH);
            Slot out = builder.slot("out", WIDTH);
            builder.add(new Op.MatMul(kernels.prepare(GgmlType.F32, WIDTH, WIDTH, bytes), null, in, out))
                    .add(new Op.MatMul(kernels.prepare(GgmlType.F32, WIDTH, WIDTH, bytes), null, out, in));
            try (CompiledStage stage = kernels.compile(builder.build(in, in, new CacheShape(0, 1, 1)))) {
                assertEquals(MATRIX_BYTES + Integer.BYTES, device.uploaded);
            }
        }
    }

    /** Own kernels of a device that give something else than the common ones are not used; others are. */
    @ParameterizedTest
    @ValueSource(strings = {"wrong", "multiply_many"})
    void kernelsThatDifferAreLeftAlone(String own) {
        Accounts device = new Accounts(1 << 20, -1);
        device.own = own;
        DeviceKernels kernels = new DeviceKernels(device);
        try (Arena arena = Arena.ofShared()) {
            kernels.compile(program(kernels, arena)).close();
        }
        assertEquals(own.equals("wrong") ? "common" : "own", kernels.products(GgmlType.F32));
        assertEquals(0, device.allocatedBytes());
    }

    /** Pages of a closed sequence serve the next: ten thousand sequences take no more than one does. */
    @Test
    void sequencesGiveTheirPagesBack() {
        Accounts device = new Accounts(1 << 24, -1);
        DeviceKernels kernels = new DeviceKernels(device);
        try (Arena arena = Arena.ofShared();
                CompiledStage stage = kernels.compile(program(kernels, arena))) {
            long afterFirst = 0;
            for (int i = 0; i < 10_000; i++) {
                try (SequenceMemory sequence = stage.openSequence(100)) {
                    step(stage, sequence, 50);
                    assertEquals(4L * 2 * Float.BYTES * 16 * WIDTH * LAYERS, sequence.sizeBytes());
                }
                if (i == 0) {
                    afterFirst = device.allocatedBytes();
                }
            }
            assertEquals(afterFirst, device.allocatedBytes());
        }
    }

    /** Steps are replayed while no buffer is replaced; nothing that a graph names is ever closed before it; none stays open. */
    @Test
    void graphsNameOpenBuffersAlone() {
        Accounts device = new Accounts(1 << 24, -1);
        DeviceKernels kernels = new DeviceKernels(device);
        try (Arena arena = Arena.ofShared();
                CompiledStage stage = kernels.compile(program(kernels, arena));
                SequenceMemory one = stage.openSequence(3_000);
                SequenceMemory other = stage.openSequence(3_000)) {
            for (int i = 0; i < 2_000; i++) {
                step(stage, i % 3 == 0 ? other : one, i % 100 == 99 ? 7 : 1);
            }
            assertTrue(device.replayed > 1_900, device.replayed + " replayed");
        }
        assertEquals(0, device.graphs.size());
        assertEquals(0, device.allocatedBytes());
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 2, 3})
    void saysHowManyLayersFitBeforeAnythingIsUploaded(int layers) {
        long beside = 2L * Float.BYTES * 16 * WIDTH * LAYERS + 2 * WIDTH * Float.BYTES;
        Accounts device = new Accounts(beside + (2L * layers + (layers == LAYERS ? 0 : 1)) * MATRIX_BYTES, -1);
        DeviceKernels kernels = new DeviceKernels(device);
        try (Arena arena = Arena.ofShared()) {
            StageProgram program = program(kernels, arena);
            if (layers == LAYERS) {
                // Room for the plan, none to spare for what grows later.
                kernels.compile(program).close();
                return;
            }
            String message = assertThrows(IllegalArgumentException.class, () -> kernels.compile(program))
                    .getMessage();
            assertTrue(
                    message.contains("the first " + layers + " of its 3 layers would fit")
                            && message.startsWith("this stage takes 0.0 MiB of device memory, paper:0 (Ledger) has"),
                    message);
            assertEquals(0, device.peak, "nothing was allocated");
        }
    }

    @Test
    void refusesHeadsThatKernelsHaveNoRoomFor() {
        DeviceKernels kernels = new DeviceKernels(new Accounts(1 << 20, -1));
        StageProgram.Builder builder = new StageProgram.Builder();
        Slot in = builder.slot("in", 513);
        Slot out = builder.slot("out", 513);
        builder.add(new Op.Store(0, in, in)).add(new Op.Attention(0, in, 1, Op.Scores.scaled(1), out));
        StageProgram program = builder.build(in, out, new CacheShape(1, 1, 513));
        String message = assertThrows(IllegalArgumentException.class, () -> kernels.compile(program))
                .getMessage();
        assertTrue(message.startsWith("heads have 513 values, device kernels take at most 512"), message);
    }
}

package shoal.bridge.kernel.device;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SequencedMap;
import org.jspecify.annotations.Nullable;
import shoal.bridge.kernel.Op;
import shoal.bridge.kernel.RopeTable;
import shoal.bridge.kernel.Slot;
import shoal.bridge.kernel.StageProgram;

/** All that a stage holds on its device: weights, vectors, angles, pages, and room for activations. Frees it when closed. */
final class StageResources implements DeviceResource {
    private final Device device;
    private final PagePool pool;
    private final DeviceSlot[] slots;
    private final Map<StagePlan.Place, DeviceBuffer> matrices = new HashMap<>();
    private final Map<float[], DeviceBuffer> vectors = new IdentityHashMap<>();
    private final Map<RopeTable, AngleTable> angles = new IdentityHashMap<>();
    private final Map<Op.Experts, ExpertSlots> expertSlots = new IdentityHashMap<>();
    private final List<DeviceResource> owned = new ArrayList<>();

    /** What kernels read where there is nothing to read. */
    private final DeviceBuffer nothing;

    /** One integer, 0 unless a router's output was no number. */
    private final DeviceBuffer trouble;

    private final GrowingBuffer description;

    /** Uploads a program's weights; nothing is held if that fails. */
    StageResources(StageProgram program, Device device) {
        this.device = device;
        pool = owned(new PagePool(device, program.cache()));
        slots = program.slots().stream()
                .map(slot -> owned(new DeviceSlot(device, slot.width())))
                .toArray(DeviceSlot[]::new);
        description = owned(new GrowingBuffer(device));
        try {
            nothing = owned(device.allocate(Float.BYTES));
            trouble = owned(device.allocate(Integer.BYTES));
            device.write(trouble, 0, MemorySegment.ofArray(new int[1]));
            upload(program);
            device.finish();
        } catch (RuntimeException failure) {
            close();
            throw failure;
        }
    }

    private <T extends DeviceResource> T owned(T resource) {
        owned.add(resource);
        return resource;
    }

    private void upload(StageProgram program) {
        SequencedMap<DeviceBuffer, MemorySegment> bytes = new LinkedHashMap<>();
        for (Op op : StagePlan.allOperations(program)) {
            for (DeviceWeights matrix : StagePlan.matricesOf(op)) {
                StagePlan.Place place = StagePlan.Place.of(matrix);
                if (!matrices.containsKey(place)) {
                    DeviceBuffer buffer = owned(device.allocate(matrix.bytes().byteSize()));
                    matrices.put(place, buffer);
                    bytes.put(buffer, matrix.bytes());
                }
            }
            switch (op) {
                case Op.RmsNorm norm -> uploadVector(norm.weight());
                case Op.RmsNormRuns norm -> uploadVector(norm.weight());
                case Op.LayerNorm norm -> {
                    uploadVector(norm.weight());
                    uploadVector(norm.bias());
                }
                case Op.MatMul product -> uploadVector(product.bias());
                case Op.Attention attention -> uploadVector(attention.scores().sinks());
                case Op.Rope rope ->
                    angles.computeIfAbsent(rope.table(), table -> owned(new AngleTable(device, table)));
                case Op.Experts experts -> {
                    uploadVector(experts.router().bias());
                    uploadVector(experts.gate().bias());
                    uploadVector(experts.up().bias());
                    uploadVector(experts.down().bias());
                    ExpertSlots room = new ExpertSlots(device, experts);
                    expertSlots.put(experts, room);
                    owned.addAll(room.all());
                }
                case Op.Embed _,
                        Op.Store _,
                        Op.Gate _,
                        Op.Gelu _,
                        Op.Scale _,
                        Op.SoftCap _,
                        Op.Add _,
                        Op.AddGated _,
                        Op.SelectRows _ -> {}
            }
        }
        device.upload(bytes);
    }

    private void uploadVector(float @Nullable [] values) {
        if (values != null && !vectors.containsKey(values)) {
            DeviceBuffer buffer = owned(device.allocate((long) values.length * Float.BYTES));
            vectors.put(values, buffer);
            device.write(buffer, 0, MemorySegment.ofArray(values));
        }
    }

    PagePool pool() {
        return pool;
    }

    DeviceSlot slot(Slot slot) {
        return slots[slot.index()];
    }

    DeviceBuffer matrix(DeviceWeights weights) {
        return present(matrices.get(StagePlan.Place.of(weights)));
    }

    /** A vector's values; where there is none, something that may not be read. */
    DeviceBuffer vector(float @Nullable [] values) {
        return values == null ? nothing : present(vectors.get(values));
    }

    DeviceBuffer nothing() {
        return nothing;
    }

    AngleTable angles(RopeTable table) {
        return present(angles.get(table));
    }

    /** Makes sure that all tables know positions 0..count-1. */
    void reserveAngles(int count) {
        angles.values().forEach(table -> table.reserve(count));
    }

    ExpertSlots experts(Op.Experts op) {
        return present(expertSlots.get(op));
    }

    boolean routes() {
        return !expertSlots.isEmpty();
    }

    DeviceBuffer trouble() {
        return trouble;
    }

    /** What kernels want to know of the batch that runs. */
    GrowingBuffer description() {
        return description;
    }

    private static <T> T present(@Nullable T value) {
        if (value == null) {
            throw new IllegalStateException("checked before, yet missing");
        }
        return value;
    }

    @Override
    public void close() {
        for (DeviceResource resource : owned.reversed()) {
            resource.close();
        }
        owned.clear();
    }

    /** What an experts operation needs beside the program's slots. */
    static final class ExpertSlots {
        final DeviceSlot logits;
        final DeviceSlot gate;
        final DeviceSlot up;
        final DeviceSlot parts;
        final GrowingBuffer chosen;
        final GrowingBuffer shares;
        final GrowingBuffer order;
        final GrowingBuffer tiles;

        ExpertSlots(Device device, Op.Experts op) {
            int width = op.gate().weights().rows() / op.experts();
            logits = new DeviceSlot(device, op.experts());
            gate = new DeviceSlot(device, width);
            up = new DeviceSlot(device, width);
            parts = new DeviceSlot(device, op.out().width());
            chosen = new GrowingBuffer(device);
            shares = new GrowingBuffer(device);
            order = new GrowingBuffer(device);
            tiles = new GrowingBuffer(device);
        }

        List<DeviceResource> all() {
            return List.of(logits, gate, up, parts, chosen, shares, order, tiles);
        }
    }
}

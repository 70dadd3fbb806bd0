package shoal.bridge.kernel.device;

import java.util.LinkedHashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * The launches of small batches, kept as graphs by the batch's shape. A shape's first batch is launched plainly, which makes all
 * buffers as large as they have to be; its second is noted; later ones replay the note, until some buffer is replaced.
 */
final class LaunchGraphs implements DeviceResource {
    /** Larger batches compute so long that launching them costs nothing beside. */
    private static final int MOST_TOKENS = 64;

    private static final int MOST_GRAPHS = 32;

    private final Device device;
    private final boolean used;
    private final Map<Shape, Kept> kept = new LinkedHashMap<>();
    private long replays;

    private record Shape(int tokens, int rows, int partitions, int picks) {}

    /** @param graph null after the first batch; @param allocations of the device, when that was so */
    private record Kept(@Nullable DeviceGraph graph, long allocations) {
        void close() {
            if (graph != null) {
                graph.close();
            }
        }
    }

    /** @param used whether anything is kept at all */
    LaunchGraphs(Device device, boolean used) {
        this.device = device;
        this.used = used;
    }

    /** Does what launches would do, launched by itself or from a graph. */
    void run(BatchDescription batch, Runnable launches) {
        if (!used || batch.tokens() > MOST_TOKENS) {
            launches.run();
            return;
        }
        var shape = new Shape(batch.tokens(), batch.rows(), batch.partitions(), batch.picks());
        Kept known = kept.get(shape);
        if (known == null || known.allocations() != device.allocations()) {
            launches.run();
            keep(shape, null);
        } else if (known.graph() == null) {
            DeviceGraph graph = note(launches);
            keep(shape, graph);
            device.launch(graph);
        } else {
            device.launch(known.graph());
            replays++;
        }
    }

    private DeviceGraph note(Runnable launches) {
        long before = device.allocations();
        device.beginGraph();
        try {
            launches.run();
        } catch (RuntimeException failure) {
            device.endGraph().close();
            throw failure;
        }
        DeviceGraph graph = device.endGraph();
        if (device.allocations() != before) {
            graph.close();
            throw new IllegalStateException("a buffer was allocated while launches were noted");
        }
        return graph;
    }

    private void keep(Shape shape, @Nullable DeviceGraph graph) {
        Kept before = kept.put(shape, new Kept(graph, device.allocations()));
        if (before != null) {
            before.close();
        }
        if (kept.size() > MOST_GRAPHS) {
            var oldest = kept.entrySet().iterator().next();
            oldest.getValue().close();
            kept.remove(oldest.getKey());
        }
    }

    /** How many batches were launched from a graph that an earlier one left. */
    long replays() {
        return replays;
    }

    @Override
    public void close() {
        kept.values().forEach(Kept::close);
        kept.clear();
    }
}

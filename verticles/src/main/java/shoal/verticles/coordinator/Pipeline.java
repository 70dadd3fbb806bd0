package shoal.verticles.coordinator;

import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import shoal.codec.base.Contact;
import shoal.codec.base.Epoch;
import shoal.codec.base.LayerRange;
import shoal.codec.base.NodeId;
import shoal.codec.metainfo.ModelManifest;
import shoal.codec.wire.Frame;
import shoal.verticles.bus.Local;

/** The stages of a model, in order: which shard each runs, and on which node. Each pipeline has an epoch of its own. */
record Pipeline(Epoch epoch, List<Hop> hops) {
    /** One stage. */
    record Hop(ModelManifest.Shard shard, Contact node, String kernels) {}

    Pipeline {
        hops = List.copyOf(hops);
    }

    boolean runsOn(NodeId node) {
        return hops.stream().anyMatch(hop -> hop.node().id().equals(node));
    }

    Set<NodeId> nodes() {
        return hops.stream().map(hop -> hop.node().id()).collect(Collectors.toUnmodifiableSet());
    }

    /** Which layers a node runs. */
    Stream<LayerRange> rangesOf(NodeId node) {
        return hops.stream()
                .filter(hop -> hop.node().id().equals(node))
                .map(hop -> hop.shard().layers());
    }

    /** Which layers a node runs, to be read. */
    String layersOf(NodeId node) {
        return rangesOf(node).map(LayerRange::toString).collect(Collectors.joining(", "));
    }

    List<Frame.StageEntry> entries() {
        return hops.stream()
                .map(hop -> new Frame.StageEntry(hop.node().id(), hop.shard().layers()))
                .toList();
    }

    List<Local.StageRun> runs() {
        return hops.stream()
                .map(hop -> new Local.StageRun(hop.node().id(), hop.shard().layers(), hop.kernels()))
                .toList();
    }

    @Override
    public String toString() {
        return "epoch " + epoch.number() + ": "
                + hops.stream()
                        .map(hop -> hop.shard().layers() + "@" + hop.node().id().toShortHex())
                        .collect(Collectors.joining(", "));
    }
}

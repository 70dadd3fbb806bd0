package shoal.verticles.coordinator;

import java.util.List;
import shoal.codec.base.Contact;
import shoal.codec.metainfo.ModelManifest;
import shoal.codec.wire.Frame;

/** The stages of a model, in order: which shard each runs, and on which node. */
record Pipeline(List<Hop> hops) {
    /** One stage. */
    record Hop(ModelManifest.Shard shard, Contact node) {}

    Pipeline {
        hops = List.copyOf(hops);
    }

    List<Frame.StageEntry> entries() {
        return hops.stream()
                .map(hop -> new Frame.StageEntry(hop.node().id(), hop.shard().layers()))
                .toList();
    }
}

package shoal.codec.gguf;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import shoal.codec.base.ByteRange;
import shoal.codec.base.LayerRange;
import shoal.codec.base.MalformedException;

/** Which bytes of an unmodified model file a machine needs to run some of its layers. */
public final class LayerBytes {
    private LayerBytes() {}

    /** The metadata and the list of tensors: all that a tokenizer or a plan needs. */
    public static ByteRange header(Gguf model) {
        return new ByteRange(0, model.dataOffset());
    }

    /**
     * The header and the tensors of some layers, with what {@link SplitPlanner} would put into their shard beside them: the
     * embedding with the first layer, the output head with the last, and what all need. Of a shard or another file without
     * layers to choose from, everything.
     *
     * @return in the file's order; ranges that touch are one
     * @throws MalformedException if the model has not these layers
     */
    public static List<ByteRange> of(Gguf model, long fileSize, LayerRange layers) {
        if (model.metadata().keySet().stream().anyMatch(key -> key.startsWith(ShardKeys.PREFIX))) {
            return List.of(new ByteRange(0, fileSize));
        }
        int count = SplitPlanner.layerCount(model);
        if (layers.last() >= count) {
            throw new MalformedException("layers " + layers + " are asked for, the model has 0-" + (count - 1));
        }
        boolean tied = model.tensor("output.weight") == null;
        var ranges = new ArrayList<ByteRange>();
        ranges.add(header(model));
        for (TensorInfo tensor : model.tensors()) {
            int layer = SplitPlanner.layerOf(tensor.name(), count);
            boolean needed = layer >= 0
                    ? layers.contains(layer)
                    : SplitPlanner.belongs(tensor.name(), layers.first() == 0, layers.last() == count - 1, tied);
            if (needed) {
                ranges.add(new ByteRange(model.fileOffset(tensor), tensor.sizeBytes()));
            }
        }
        return joined(ranges);
    }

    private static List<ByteRange> joined(List<ByteRange> ranges) {
        ranges.sort(Comparator.comparingLong(ByteRange::offset));
        var joined = new ArrayList<ByteRange>();
        for (ByteRange range : ranges) {
            ByteRange last = joined.isEmpty() ? null : joined.getLast();
            if (last != null && range.offset() <= last.end()) {
                long end = Math.max(last.end(), range.end());
                joined.set(joined.size() - 1, new ByteRange(last.offset(), end - last.offset()));
            } else {
                joined.add(range);
            }
        }
        return List.copyOf(joined);
    }
}

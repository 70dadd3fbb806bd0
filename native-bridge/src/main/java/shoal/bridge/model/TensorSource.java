package shoal.bridge.model;

import java.lang.foreign.MemorySegment;
import shoal.codec.gguf.Gguf;
import shoal.codec.gguf.TensorInfo;

/** Where a stage's tensors come from: a shard file, a whole model, or a file of which only some pieces are here. */
public interface TensorSource {
    /** All metadata, and the tensors that the file lists (not all need be here). */
    Gguf header();

    /**
     * The tensor's bytes, mapped; valid until the source is closed by its owner.
     *
     * @throws shoal.codec.base.MalformedException if they are not here
     */
    MemorySegment tensor(TensorInfo tensor);
}

package shoal.codec.gguf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import shoal.codec.base.ByteRange;
import shoal.codec.base.Hash256;
import shoal.codec.base.LayerRange;
import shoal.codec.base.MalformedException;

class LayerBytesTest {
    private static final int LAYERS = 6;

    private static Gguf model(boolean tied) {
        var metadata = new LinkedHashMap<String, MetadataValue>();
        metadata.put("general.architecture", new MetadataValue.Text("llama"));
        metadata.put("llama.block_count", new MetadataValue.UInt32(LAYERS));
        var tensors = new ArrayList<TensorInfo>();
        long offset = 0;
        var names = new ArrayList<>(List.of("token_embd.weight", "rope_freqs.weight"));
        for (int layer = LAYERS - 1; layer >= 0; layer--) { // not in the order of layers
            names.add("blk." + layer + ".attn_q.weight");
            names.add("blk." + layer + ".attn_norm.weight");
        }
        names.add("output_norm.weight");
        if (!tied) {
            names.add("output.weight");
        }
        for (String name : names) {
            long size = 4L * (40 + 7 * tensors.size());
            tensors.add(new TensorInfo(name, List.of(size / 4), GgmlType.F32, offset));
            offset = (offset + size + 31) / 32 * 32;
        }
        var bytes = GgufWriter.write(3, metadata, tensors);
        byte[] file = java.util.Arrays.copyOf(bytes.header(), Math.toIntExact(bytes.fileSize()));
        return GgufReader.read(java.lang.foreign.MemorySegment.ofArray(file));
    }

    /** The split planner was tested against models; a shard's tensors are what a cut must hold. */
    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void holdsExactlyTheTensorsThatTheShardOfTheseLayersHas(boolean tied) {
        Gguf model = model(tied);
        for (int shards = 1; shards <= LAYERS; shards++) {
            SplitPlan plan = SplitPlanner.plan(model, Hash256.ZERO, "m", model.dataEnd(), shards);
            for (SplitPlan.Shard shard : plan.shards()) {
                List<ByteRange> ranges = LayerBytes.of(model, model.dataEnd(), shard.layers());
                for (int number = 0; number < model.tensors().size(); number++) {
                    TensorInfo tensor = model.tensors().get(number);
                    long at = model.fileOffset(tensor);
                    boolean held = ranges.stream()
                            .anyMatch(range -> range.offset() <= at && at + tensor.sizeBytes() <= range.end());
                    assertEquals(
                            shard.tensors().contains(number), held, tensor.name() + " in layers " + shard.layers());
                }
                assertEquals(0, ranges.getFirst().offset());
                assertTrue(ranges.getFirst().end() >= model.dataOffset());
                for (int i = 1; i < ranges.size(); i++) {
                    assertTrue(ranges.get(i - 1).end() < ranges.get(i).offset());
                }
            }
        }
    }

    @Test
    void refusesLayersThatTheModelHasNot() {
        Gguf model = model(true);
        var refused = assertThrows(
                MalformedException.class, () -> LayerBytes.of(model, model.dataEnd(), new LayerRange(3, LAYERS)));
        assertEquals("layers 3-6 are asked for, the model has 0-5", refused.getMessage());
    }
}

package shoal.codec.gguf;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Random;

/** Models of a few kilobytes, laid out at random: for tests that must not depend on data from elsewhere. */
final class SmallModel {
    private SmallModel() {}

    /** The bytes of a whole file; its tensors lie in a random order and are of random types and sizes. */
    static byte[] random(long seed, int layers, boolean tied) {
        var random = new Random(seed);
        var metadata = new LinkedHashMap<String, MetadataValue>();
        metadata.put("general.architecture", new MetadataValue.Text("llama"));
        metadata.put("llama.block_count", new MetadataValue.UInt32(layers));
        metadata.put("tokenizer.ggml.tokens", MetadataValue.Array.ofTexts(List.of("a", "b", "<0x0A>")));
        var names = new ArrayList<>(List.of("token_embd.weight", "output_norm.weight", "rope_freqs.weight"));
        if (!tied) {
            names.add("output.weight");
        }
        for (int layer = 0; layer < layers; layer++) {
            for (int i = random.nextInt(4); i >= 0; i--) {
                names.add("blk." + layer + ".part_" + i + ".weight");
            }
        }
        Collections.shuffle(names, random);
        var tensors = new ArrayList<TensorInfo>();
        for (String name : names) {
            GgmlType type = random.nextBoolean() ? GgmlType.F32 : GgmlType.Q4_0;
            tensors.add(new TensorInfo(name, List.of(32L, 1L + random.nextInt(5)), type, 0));
        }
        var written = GgufWriter.write(metadata, tensors);
        byte[] file = Arrays.copyOf(written.header(), (int) written.fileSize());
        for (TensorInfo tensor : written.gguf().tensors()) {
            var values = new byte[(int) tensor.sizeBytes()];
            random.nextBytes(values);
            System.arraycopy(values, 0, file, (int) written.gguf().fileOffset(tensor), values.length);
        }
        return file;
    }
}

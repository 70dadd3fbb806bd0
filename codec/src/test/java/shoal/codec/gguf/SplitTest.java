package shoal.codec.gguf;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import shoal.codec.base.Hash256;
import shoal.codec.base.LayerRange;
import shoal.codec.base.MalformedException;
import shoal.codec.metainfo.InfoHash;
import shoal.codec.metainfo.ModelManifest;

class SplitTest {
    /** Carries a layout out, in memory. */
    static byte[] write(FileLayout layout, List<byte[]> sources) {
        var target = new byte[(int) layout.size()];
        System.arraycopy(layout.header(), 0, target, 0, layout.header().length);
        for (CopyRange range : layout.ranges()) {
            System.arraycopy(
                    sources.get(range.sourceFile()),
                    (int) range.sourceOffset(),
                    target,
                    (int) range.targetOffset(),
                    (int) range.size());
        }
        return target;
    }

    static Gguf read(byte[] file) {
        return GgufReader.read(MemorySegment.ofArray(file));
    }

    static byte[] tensorBytes(byte[] file, Gguf gguf, String name) {
        TensorInfo tensor = gguf.requiredTensor(name);
        int start = (int) gguf.fileOffset(tensor);
        return Arrays.copyOfRange(file, start, start + (int) tensor.sizeBytes());
    }

    static List<byte[]> split(byte[] file, int shardCount) {
        SplitPlan plan = SplitPlanner.plan(read(file), Hash256.sha256(file), "model", file.length, shardCount);
        var shards = new ArrayList<byte[]>();
        for (SplitPlan.Shard shard : plan.shards()) {
            shards.add(write(plan.layout(shard), List.of(file)));
        }
        return shards;
    }

    static void splitsAndJoins(byte[] file, int shardCount, boolean identical) {
        Gguf model = read(file);
        List<byte[]> shards = split(file, shardCount);
        int next = 0;
        for (int i = 0; i < shardCount; i++) {
            Gguf shard = read(shards.get(i));
            assertEquals(i, shard.requiredInt("shoal.shard.index"));
            assertEquals(next, shard.requiredInt("shoal.layers.first"));
            int last = shard.requiredInt("shoal.layers.last");
            for (TensorInfo tensor : shard.tensors()) {
                assertArrayEquals(
                        tensorBytes(file, model, tensor.name()), tensorBytes(shards.get(i), shard, tensor.name()));
                if (tensor.name().startsWith("blk.")) {
                    int layer = Integer.parseInt(tensor.name().split("\\.")[1]);
                    assertTrue(layer >= next && layer <= last, tensor.name());
                }
            }
            model.metadata()
                    .forEach(
                            (key, value) -> assertEquals(value, shard.metadata().get(key), key));
            next = last + 1;
        }
        assertEquals(model.requiredInt(model.architecture() + ".block_count"), next);
        assertNotNull(read(shards.getFirst()).tensor("token_embd.weight"));
        Gguf last = read(shards.getLast());
        assertNotNull(last.tensor("output_norm.weight"));
        assertTrue(last.tensor("output.weight") != null || last.tensor("token_embd.weight") != null);

        Collections.shuffle(shards, new Random(shardCount));
        byte[] joined =
                write(ShardJoiner.plan(shards.stream().map(SplitTest::read).toList()), shards);
        if (identical) {
            assertArrayEquals(file, joined);
        }
        Gguf again = read(joined);
        assertEquals(model.metadata(), again.metadata());
        assertEquals(
                model.tensors().stream().map(TensorInfo::name).toList(),
                again.tensors().stream().map(TensorInfo::name).toList());
        for (TensorInfo tensor : model.tensors()) {
            assertArrayEquals(tensorBytes(file, model, tensor.name()), tensorBytes(joined, again, tensor.name()));
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 4, 5, 8})
    void joinedModelEqualsTheOneThatWasSplit(int shardCount) {
        splitsAndJoins(Shared.bytes("models/stories-q8_0.gguf"), shardCount, true);
    }

    @Test
    void everyArchitectureSurvives() throws IOException {
        try (var files = Files.newDirectoryStream(Shared.path("testdata/arch"), "*.gguf")) {
            for (Path path : files) {
                byte[] file = Files.readAllBytes(path);
                Gguf model = read(file);
                splitsAndJoins(file, Math.min(3, model.requiredInt(model.architecture() + ".block_count")), true);
            }
        }
    }

    @Test
    void tiedEmbeddingGoesToBothEndsAndRopeFactorsEverywhere() {
        List<byte[]> gemma = split(Shared.bytes("testdata/arch/gemma3.gguf"), 3);
        assertNotNull(read(gemma.get(0)).tensor("token_embd.weight"));
        assertEquals(null, read(gemma.get(1)).tensor("token_embd.weight"));
        assertNotNull(read(gemma.get(2)).tensor("token_embd.weight"));
        for (byte[] shard : split(Shared.bytes("testdata/arch/llama31.gguf"), 4)) {
            assertNotNull(read(shard).tensor("rope_freqs.weight"));
        }
    }

    /** A token takes one row of the embedding, and all of the output head. */
    @Test
    void shardsAreEvenInWhatATokenPasses() {
        byte[] file = Shared.bytes("models/stories-q8_0.gguf");
        Gguf model = read(file);
        long layer = model.tensors().stream()
                .filter(tensor -> tensor.name().startsWith("blk.0."))
                .mapToLong(TensorInfo::sizeBytes)
                .sum();
        String head = model.tensor("output.weight") == null ? "token_embd.weight" : "output.weight";
        long headBytes = model.requiredTensor(head).sizeBytes();
        SplitPlan plan = SplitPlanner.plan(model, Hash256.sha256(file), "stories", file.length, 2);
        int last = plan.shards().getLast().layers().count();
        assertTrue(Math.abs((8 - last) * layer - (last * layer + headBytes)) <= layer, "the last shard has " + last);
    }

    @Test
    void vocabularyFileNamesTheShards() {
        byte[] file = Shared.bytes("models/stories-q8_0.gguf");
        SplitPlan plan = SplitPlanner.plan(read(file), Hash256.sha256(file), "stories", file.length, 4);
        var files = new ArrayList<SplitPlan.ShardFile>();
        for (SplitPlan.Shard shard : plan.shards()) {
            byte[] hash = {(byte) shard.index()};
            files.add(new SplitPlan.ShardFile(
                    "shard-" + shard.index() + ".gguf",
                    Hash256.sha256(hash),
                    InfoHash.ofInfo(hash),
                    plan.layout(shard).size()));
        }
        Gguf vocabulary = read(plan.vocabulary(files));
        assertEquals(List.of(), vocabulary.tensors());
        assertTrue(VocabularyFile.isOne(vocabulary));
        assertEquals(1024, vocabulary.requiredTexts("tokenizer.ggml.tokens").length);
        ModelManifest manifest = VocabularyFile.manifest(vocabulary);
        assertEquals(plan.manifest(files), manifest);
        assertEquals(8, manifest.layerCount());
        assertEquals(2, manifest.shardOfLayer(5).index());
        long blocks = read(file).tensors().stream()
                .filter(t -> t.name().startsWith("blk."))
                .mapToLong(TensorInfo::sizeBytes)
                .sum();
        assertEquals(
                blocks,
                manifest.layerBytes().stream().mapToLong(Long::longValue).sum());
    }

    @Test
    void readsASetMadeByLlamaCpp() {
        byte[] whole = Shared.bytes("models/stories-q4_0.gguf");
        String name = "stories-q4_0-00001-of-00002.gguf";
        var files = new ArrayList<byte[]>();
        for (String part : SplitSet.fileNames(name)) {
            files.add(Shared.bytes("testdata/split/" + part));
        }
        assertEquals(2, files.size());
        SplitSet set = SplitSet.of(files.stream().map(SplitTest::read).toList());
        assertEquals(read(whole).metadata(), set.whole().metadata());
        assertEquals(read(whole).tensors(), set.whole().tensors());
        assertArrayEquals(whole, write(set.layout(), files));

        SplitPlan fromSet = SplitPlanner.plan(set, Hash256.sha256(whole), "model", whole.length, 3);
        List<byte[]> expected = split(whole, 3);
        for (SplitPlan.Shard shard : fromSet.shards()) {
            assertArrayEquals(expected.get(shard.index()), write(fromSet.layout(shard), files));
        }
        Collections.reverse(files);
        SplitSet reversed = SplitSet.of(files.stream().map(SplitTest::read).toList());
        assertArrayEquals(whole, write(reversed.layout(), files));
        refused("has 2 files, but 1 are here", () -> SplitSet.of(List.of(read(files.getFirst()))));
        refused("split.no 1", () -> SplitSet.of(List.of(read(files.getFirst()), read(files.getFirst()))));
    }

    @Test
    void namesOfASet() {
        assertEquals(List.of("plain.gguf"), SplitSet.fileNames("plain.gguf"));
        assertEquals(
                List.of("a-00001-of-00003.gguf", "a-00002-of-00003.gguf", "a-00003-of-00003.gguf"),
                SplitSet.fileNames("a-00002-of-00003.gguf"));
        refused("allowed 1..3", () -> SplitSet.fileNames("a-00004-of-00003.gguf"));
    }

    @Test
    void shardsThatDoNotBelongTogetherAreRefused() {
        byte[] file = Shared.bytes("testdata/arch/llama31.gguf");
        List<Gguf> shards = split(file, 3).stream().map(SplitTest::read).toList();
        List<Gguf> other = split(Shared.bytes("testdata/arch/qwen3.gguf"), 3).stream()
                .map(SplitTest::read)
                .toList();
        refused("shards 1 of model are missing", () -> ShardJoiner.plan(List.of(shards.get(0), shards.get(2))));
        refused(
                "shard 0 of model is there twice",
                () -> ShardJoiner.plan(List.of(shards.get(0), shards.get(0), shards.get(1), shards.get(2))));
        refused(
                "shard 1 of model is of another model",
                () -> ShardJoiner.plan(List.of(shards.get(0), other.get(1), shards.get(2))));
        refused("is not a shard", () -> ShardJoiner.plan(List.of(read(file))));
        refused("this is a shard", () -> SplitPlanner.plan(shards.get(0), Hash256.ZERO, "model", 1, 1));
        refused("shard count is 9, allowed 1..", () -> split(file, 9));
        refused("shard count is 0, allowed 1..", () -> split(file, 0));
    }

    /** Needs no data from elsewhere: any order of tensors, any number of shards. */
    @Test
    void smallModelsSurviveEverySplit() {
        long seed = Long.getLong("shoal.seed", 17);
        for (int round = 0; round < 60; round++) {
            int layers = 1 + round % 7;
            byte[] file = SmallModel.random(seed + round, layers, round % 2 == 0);
            for (int shards = 1; shards <= layers; shards++) {
                splitsAndJoins(file, shards, true);
            }
        }
    }

    /** Some files have nothing behind their last tensor where ggml pads it; the joined file has nothing there either. */
    @Test
    void aFileWithoutPaddingAtItsEndIsJoinedWithout() {
        int cut = 0;
        for (long seed = 0; seed < 20; seed++) {
            byte[] file = SmallModel.random(seed, 4, false);
            int end = (int) read(file).dataEnd();
            cut += file.length - end;
            splitsAndJoins(Arrays.copyOf(file, end), 2, true);
        }
        assertTrue(cut > 0, "no file had padding");
    }

    /** Shards, sets and vocabulary files whose metadata has been tampered with: joined, or refused as malformed. */
    @Test
    void tamperedFilesAreRefusedOrRead() {
        long seed = Long.getLong("shoal.seed", 23);
        var random = new Random(seed);
        byte[] file = SmallModel.random(seed, 4, true);
        List<byte[]> shards = split(file, 3);
        SplitPlan plan = SplitPlanner.plan(read(file), Hash256.sha256(file), "model", file.length, 2);
        byte[] vocabulary = plan.vocabulary(List.of(
                new SplitPlan.ShardFile("a", Hash256.ZERO, InfoHash.ofInfo(file), 5),
                new SplitPlan.ShardFile("b", Hash256.ZERO, InfoHash.ofInfo(file), 6)));
        int refused = 0;
        for (int round = 0; round < 3_000; round++) {
            byte[] whole = damaged(file, random);
            byte[] shard = damaged(shards.get(1), random);
            byte[] words = damaged(vocabulary, random);
            for (Runnable action : List.<Runnable>of(
                    () -> SplitPlanner.plan(read(whole), Hash256.ZERO, "model", 1, 2)
                            .shards(),
                    () -> SplitSet.of(List.of(read(whole), read(shard))),
                    () -> ShardJoiner.plan(List.of(read(shards.get(0)), read(shard), read(shards.get(2)))),
                    () -> VocabularyFile.manifest(read(words)))) {
                try {
                    action.run();
                } catch (MalformedException expected) {
                    refused++;
                }
            }
        }
        assertTrue(refused > 3_000, "seed " + seed);
    }

    private static byte[] damaged(byte[] file, Random random) {
        byte[] bad = file.clone();
        int header = (int) read(file).dataOffset();
        for (int i = random.nextInt(3); i >= 0; i--) {
            bad[random.nextInt(header)] = (byte) random.nextInt(256);
        }
        return bad;
    }

    /** No split has a smaller largest shard: compared with all of them. */
    @Test
    void balanceIsBest() {
        long seed = Long.getLong("shoal.seed", 42);
        var random = new Random(seed);
        for (int round = 0; round < 500; round++) {
            int layers = 1 + random.nextInt(9);
            int count = 1 + random.nextInt(layers);
            long[] weights = LongStream.generate(() -> random.nextInt(random.nextBoolean() ? 3 : 100))
                    .limit(layers)
                    .toArray();
            List<LayerRange> ranges = SplitPlanner.balance(weights, count);
            assertEquals(count, ranges.size());
            int next = 0;
            long heaviest = 0;
            for (LayerRange range : ranges) {
                assertEquals(next, range.first());
                next = range.last() + 1;
                heaviest = Math.max(
                        heaviest, Arrays.stream(weights, range.first(), next).sum());
            }
            assertEquals(layers, next);
            assertEquals(
                    best(weights, 0, count), heaviest, Arrays.toString(weights) + " / " + count + ", seed " + seed);
        }
    }

    private static long best(long[] weights, int first, int count) {
        if (count == 1) {
            return Arrays.stream(weights, first, weights.length).sum();
        }
        long best = Long.MAX_VALUE;
        for (int end = first + 1; end <= weights.length - count + 1; end++) {
            best = Math.min(best, Math.max(Arrays.stream(weights, first, end).sum(), best(weights, end, count - 1)));
        }
        return best;
    }

    static void refused(String message, Runnable action) {
        var refused = assertThrows(MalformedException.class, action::run);
        assertTrue(String.valueOf(refused.getMessage()).contains(message), refused.getMessage());
    }
}

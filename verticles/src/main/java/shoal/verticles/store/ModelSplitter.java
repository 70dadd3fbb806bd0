package shoal.verticles.store;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Stream;
import shoal.bridge.hash.BlockHashers;
import shoal.bridge.model.ModelFile;
import shoal.codec.base.MalformedException;
import shoal.codec.gguf.FileLayout;
import shoal.codec.gguf.Gguf;
import shoal.codec.gguf.GgufReader;
import shoal.codec.gguf.ShardJoiner;
import shoal.codec.gguf.ShardKeys;
import shoal.codec.gguf.SplitPlan;
import shoal.codec.gguf.SplitPlanner;
import shoal.codec.gguf.SplitSet;
import shoal.codec.metainfo.ModelManifest;

/** Cuts a model file into shards and a vocabulary file, and puts shards together again. Blocking. */
public final class ModelSplitter implements AutoCloseable {
    private static final String SET_OR_FILE = "(-\\d{5}-of-\\d{5})?\\.gguf$";

    private final Path scratch;
    private final ShardStore store;

    private ModelSplitter(Path scratch, ShardStore store) {
        this.scratch = scratch;
        this.store = store;
    }

    /** Opens a workplace in the system's temporary directory; closing removes it. */
    public static ModelSplitter open() throws IOException {
        Path scratch = Files.createTempDirectory("shoal-split-");
        return new ModelSplitter(scratch, ShardStore.open(scratch, BlockHashers.best()));
    }

    /**
     * Writes {@code shard-0.gguf} … and {@code vocabulary.gguf} into a directory; each appears whole or not at all, the vocabulary,
     * which names the others, last.
     *
     * @param model a GGUF file, or one of a set that llama.cpp split
     * @param prefix put before each name; empty for none
     */
    public ModelManifest split(Path model, int shards, Path directory, String prefix) throws IOException {
        String name = String.valueOf(model.getFileName()).replaceFirst(SET_OR_FILE, "");
        Path whole = whole(model, directory);
        try (ModelFile file = ModelFile.open(whole)) {
            var root = store.adopt(whole).piecesRoot();
            SplitPlan plan = SplitPlanner.plan(file.header(), root, name, Files.size(whole), shards);
            var written = new ArrayList<SplitPlan.ShardFile>();
            for (SplitPlan.Shard shard : plan.shards()) {
                String shardName = prefix + "shard-" + shard.index() + ".gguf";
                StoredFile part = store.write(directory.resolve(shardName), plan.layout(shard), List.of(whole));
                written.add(new SplitPlan.ShardFile(
                        shardName,
                        part.piecesRoot(),
                        part.metainfo().infoHash(),
                        part.metainfo().length()));
            }
            byte[] vocabulary = plan.vocabulary(written);
            store.write(
                    directory.resolve(prefix + "vocabulary.gguf"),
                    new FileLayout(vocabulary, List.of(), vocabulary.length),
                    List.of());
            return plan.manifest(written);
        } finally {
            if (!whole.equals(model)) {
                Files.deleteIfExists(whole);
            }
        }
    }

    /** The model as one file: itself, or what a split set makes, written beside the shards to be. */
    private Path whole(Path model, Path directory) throws IOException {
        Path parent = model.toAbsolutePath().getParent();
        List<Path> files = SplitSet.fileNames(String.valueOf(model.getFileName())).stream()
                .map(part -> parent == null ? Path.of(part) : parent.resolve(part))
                .toList();
        if (files.size() == 1) {
            return model;
        }
        SplitSet set = SplitSet.of(headers(files));
        return store.write(directory.resolve(".whole-" + ProcessHandle.current().pid() + ".gguf"), set.layout(), files)
                .path();
    }

    /**
     * Puts shards, in any order, together to the model that they were cut from.
     *
     * @param verified whether the outcome must be that model's file, byte for byte, as it is for every model laid out as ggml does it
     * @return the file's size in bytes
     * @throws MalformedException if it must and is not; then there is no file
     */
    public long join(List<Path> shards, Path target, boolean verified) throws IOException {
        List<Gguf> headers = headers(shards);
        Path parent = target.toAbsolutePath().getParent();
        Path temporary = Path.of(".joined-" + ProcessHandle.current().pid() + ".gguf");
        temporary = parent == null ? temporary : parent.resolve(temporary);
        try {
            StoredFile joined = store.write(temporary, ShardJoiner.plan(headers), shards);
            String root = headers.getFirst().requiredText(ShardKeys.MODEL_ROOT);
            if (verified && !root.equals(joined.piecesRoot().toHex())) {
                throw new MalformedException("the shards do not give the model that was split: its hash is " + root
                        + ", theirs together " + joined.piecesRoot()
                        + ". Fetch them again; --unverified joins them all the same.");
            }
            FileWriter.moveInPlace(temporary, target);
            return joined.metainfo().length();
        } finally {
            Files.deleteIfExists(temporary);
        }
    }

    private static List<Gguf> headers(List<Path> files) throws IOException {
        var headers = new ArrayList<Gguf>();
        for (Path file : files) {
            try (Arena arena = Arena.ofConfined();
                    FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
                headers.add(GgufReader.read(channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size(), arena)));
            } catch (MalformedException malformed) {
                throw new MalformedException(file.getFileName() + ": " + malformed.getMessage(), malformed);
            }
        }
        return headers;
    }

    @Override
    public void close() throws IOException {
        store.close();
        try (Stream<Path> files = Files.walk(scratch)) {
            for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.deleteIfExists(file);
            }
        }
    }
}

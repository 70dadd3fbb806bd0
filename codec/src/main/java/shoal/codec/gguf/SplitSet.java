package shoal.codec.gguf;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import shoal.codec.base.MalformedException;

/**
 * One model in one or several files: a plain GGUF, or the set that llama.cpp's gguf-split makes
 * ({@code name-00001-of-00003.gguf}, with the keys split.no, split.count and split.tensors.count). The files keep the indices
 * at which they were given.
 */
public final class SplitSet {
    public static final int MAX_FILES = 99_999;

    private static final Pattern NAME = Pattern.compile("(.*)-(\\d{5})-of-(\\d{5})\\.gguf");

    private final Gguf whole;
    private final List<FileLayout.Source> sources;
    private final GgufWriter.Written written;

    private SplitSet(Gguf whole, List<FileLayout.Source> sources, GgufWriter.Written written) {
        this.whole = whole;
        this.sources = List.copyOf(sources);
        this.written = written;
    }

    /**
     * Names of all files of the set that fileName belongs to, in order; fileName alone if it is not one of a set.
     *
     * @throws MalformedException if its number lies outside of its own set
     */
    public static List<String> fileNames(String fileName) {
        Matcher parts = NAME.matcher(fileName);
        if (!parts.matches()) {
            return List.of(fileName);
        }
        int number = Integer.parseInt(parts.group(2));
        int count = Integer.parseInt(parts.group(3));
        if (number < 1 || number > count) {
            throw new MalformedException(fileName + " is number " + number + " of its set, allowed 1.." + count);
        }
        var names = new ArrayList<String>();
        for (int i = 1; i <= count; i++) {
            names.add(String.format(Locale.ROOT, "%s-%05d-of-%05d.gguf", parts.group(1), i, count));
        }
        return names;
    }

    /** The set that consists of these files, in any order. @throws MalformedException if they don't belong together */
    public static SplitSet of(List<Gguf> files) {
        if (files.isEmpty() || files.size() > MAX_FILES) {
            throw new IllegalArgumentException("there are " + files.size() + " files, allowed 1.." + MAX_FILES);
        }
        Gguf first = files.getFirst();
        if (files.size() == 1 && first.intValue("split.count", 1) <= 1) {
            var sources = new ArrayList<FileLayout.Source>();
            for (TensorInfo tensor : first.tensors()) {
                sources.add(new FileLayout.Source(0, first.fileOffset(tensor)));
            }
            return new SplitSet(first, sources, GgufWriter.write(first.version(), first.metadata(), first.tensors()));
        }
        int[] order = order(files);
        var metadata =
                new LinkedHashMap<String, MetadataValue>(files.get(order[0]).metadata());
        metadata.keySet().removeIf(key -> key.startsWith("split."));
        Map<String, TensorInfo> tensors = new LinkedHashMap<>();
        var sources = new ArrayList<FileLayout.Source>();
        for (int file : order) {
            Gguf part = files.get(file);
            for (TensorInfo tensor : part.tensors()) {
                if (tensors.put(tensor.name(), tensor) != null) {
                    throw new MalformedException("tensor " + tensor.name() + " is in two files of the split set");
                }
                sources.add(new FileLayout.Source(file, part.fileOffset(tensor)));
            }
        }
        int tensorCount = files.get(order[0]).intValue("split.tensors.count", tensors.size());
        if (tensors.size() != tensorCount) {
            throw new MalformedException(
                    "the split set has " + tensors.size() + " tensors, its split.tensors.count is " + tensorCount);
        }
        var written = GgufWriter.write(first.version(), metadata, tensors.values());
        return new SplitSet(written.gguf(), sources, written);
    }

    /** For each number of the set, the index of its file. */
    private static int[] order(List<Gguf> files) {
        var order = new int[files.size()];
        Arrays.fill(order, -1);
        for (int file = 0; file < files.size(); file++) {
            int count = files.get(file).requiredInt("split.count");
            if (count != files.size()) {
                throw new MalformedException("the split set has " + count + " files, but " + files.size()
                        + " are here. Give the name of one, with the others beside it");
            }
            int number = files.get(file).requiredInt("split.no");
            if (number < 0 || number >= count) {
                throw new MalformedException("split.no is " + number + ", allowed 0.." + (count - 1));
            }
            if (order[number] >= 0) {
                throw new MalformedException("two files of the split set have split.no " + number);
            }
            order[number] = file;
        }
        return order;
    }

    /**
     * The model as one GGUF. Its offsets are those of {@link #layout()}, unless there is one file: then they are that file's
     * own.
     */
    public Gguf whole() {
        return whole;
    }

    /** Index of the file that holds tensor number index of {@link #whole()}. */
    public int fileOf(int index) {
        return sources.get(index).file();
    }

    /** The byte of that file where the tensor starts. */
    public long offsetOf(int index) {
        return sources.get(index).offset();
    }

    /** How to write the set as one file. */
    public FileLayout layout() {
        return FileLayout.of(written, sources, written.fileSize());
    }
}

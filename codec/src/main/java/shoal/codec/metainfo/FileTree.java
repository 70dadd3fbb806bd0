package shoal.codec.metainfo;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.Hash256;
import shoal.codec.base.MalformedException;

/** The files of a v2 torrent (BEP 52, "file tree"), in the order of their paths. */
public record FileTree(List<Entry> files) {
    public static final int MAX_FILES = 100_000;

    public FileTree {
        files = List.copyOf(files);
    }

    /**
     * One file.
     *
     * @param path its parts as bytes, held as ISO 8859-1: a stranger's words, no path of this machine
     * @param piecesRoot null for an empty file or a symbolic link
     */
    public record Entry(
            List<String> path, long length, @Nullable Hash256 piecesRoot) {
        public Entry {
            path = List.copyOf(path);
        }
    }

    /** @throws MalformedException if a file has no name, no length or no root */
    static FileTree parse(Bencode.Dict tree) {
        var files = new ArrayList<Entry>();
        walk(tree, new ArrayList<>(), files);
        if (files.isEmpty()) {
            throw new MalformedException("the torrent has no files");
        }
        return new FileTree(files);
    }

    /** Recursion is bounded by {@link Bencode#MAX_DEPTH}. */
    private static void walk(Bencode.Dict tree, List<String> path, List<Entry> files) {
        for (Map.Entry<String, Bencode> entry : tree.entries().entrySet()) {
            if (!(entry.getValue() instanceof Bencode.Dict dict)) {
                throw new MalformedException("file tree: '" + entry.getKey() + "' is no dictionary");
            }
            if (entry.getKey().isEmpty()) {
                if (path.isEmpty() || tree.entries().size() > 1) {
                    throw new MalformedException("file tree: a file has no name, or one name is file and folder");
                }
                files.add(file(dict, path));
                if (files.size() > MAX_FILES) {
                    throw new MalformedException("file tree: more than " + MAX_FILES + " files");
                }
                continue;
            }
            path.add(entry.getKey());
            walk(dict, path, files);
            path.removeLast();
        }
    }

    private static Entry file(Bencode.Dict file, List<String> path) {
        long length = file.requiredInt("length", 0, Pieces.MAX_LENGTH);
        String attributes = file.get("attr") instanceof Bencode.Bytes(String latin1) ? latin1 : "";
        if (attributes.indexOf('p') >= 0) {
            throw new MalformedException("file tree: " + path + " has the pad attribute, which v2 torrents don't know");
        }
        if (length == 0) {
            return new Entry(path, 0, null);
        }
        Bencode root = file.get("pieces root");
        if (!(root instanceof Bencode.Bytes bytes) || bytes.size() != Hash256.SIZE_BYTES) {
            throw new MalformedException("file tree: " + path + " has no pieces root of 32 bytes");
        }
        Hash256 hash = Hash256.of(bytes.toBytes());
        if (hash.equals(Hash256.ZERO)) {
            throw new MalformedException("file tree: the pieces root of " + path + " is zero");
        }
        return new Entry(path, length, hash);
    }
}

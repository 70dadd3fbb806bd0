package shoal.codec.metainfo;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import shoal.codec.base.Hash256;
import shoal.codec.base.MalformedException;

/**
 * A v2 or hybrid torrent of any number of files (BEP 52), with its piece layers checked against their roots. What Shoal itself
 * shares is {@link Metainfo}, a torrent of one file.
 *
 * @param infoBytes the info dictionary as it stands in the torrent; not a copy, read only
 * @param name for display, cleaned of separators and of what is not UTF-8
 * @param pieceLayers by pieces root, for each file of more than one piece; not copies, read only
 */
public record Torrent(
        InfoHash infoHash,
        byte[] infoBytes,
        String name,
        int pieceLength,
        FileTree files,
        Map<Hash256, byte[]> pieceLayers) {
    /** A larger torrent is refused before it is read. */
    public static final int MAX_BYTES = 16 << 20;

    /** Reads a .torrent file. @throws MalformedException with what is wrong */
    public static Torrent parse(byte[] torrent) {
        if (torrent.length > MAX_BYTES) {
            throw new MalformedException("torrent has " + torrent.length + " bytes, allowed 1.." + MAX_BYTES);
        }
        if (!(Bencode.parse(withoutLineEnd(torrent)) instanceof Bencode.Dict top)) {
            throw new MalformedException("torrent is no dictionary");
        }
        var layers = new HashMap<String, Bencode>();
        if (top.get("piece layers") != null) {
            layers.putAll(top.requiredDict("piece layers").entries());
        }
        return of(top.requiredDict("info"), layers, BlockHasher.plain());
    }

    /** Reads an info dictionary as it comes from a peer, with the layer of its one file, empty if that has none. */
    static Torrent ofInfo(byte[] infoBytes, byte[] pieceLayer, BlockHasher hasher) {
        if (!(Bencode.parse(infoBytes) instanceof Bencode.Dict info)) {
            throw new MalformedException("info is no dictionary");
        }
        FileTree files = FileTree.parse(info.requiredDict("file tree"));
        var layers = new HashMap<String, Bencode>();
        Hash256 root = files.files().getFirst().piecesRoot();
        if (pieceLayer.length > 0 && root != null) {
            layers.put(Bencode.Bytes.of(root.toBytes()).latin1(), Bencode.Bytes.of(pieceLayer));
        }
        return of(info, layers, hasher);
    }

    private static Torrent of(Bencode.Dict info, Map<String, Bencode> layers, BlockHasher hasher) {
        if (info.get("meta version") == null) {
            throw new MalformedException("this is a torrent of version 1; Shoal needs version 2 or a hybrid (BEP 52)");
        }
        info.requiredInt("meta version", 2, 2);
        int pieceLength = (int) info.requiredInt("piece length", Pieces.BLOCK_SIZE, Pieces.MAX_PIECE_LENGTH);
        if (Integer.bitCount(pieceLength) != 1) {
            throw new MalformedException("'piece length' is " + pieceLength + ", allowed are powers of two");
        }
        Bencode.Bytes name = info.requiredBytes("name");
        FileTree files = FileTree.parse(info.requiredDict("file tree"));
        if (info.get("pieces") != null || info.get("files") != null || info.get("length") != null) {
            HybridCheck.check(info, name.latin1(), pieceLength, files);
        }
        var checked = new HashMap<Hash256, byte[]>();
        for (FileTree.Entry file : files.files()) {
            Hash256 root = file.piecesRoot();
            if (root == null) {
                continue;
            }
            Pieces pieces;
            try {
                pieces = new Pieces(file.length(), pieceLength);
            } catch (IllegalArgumentException refused) {
                throw new MalformedException("file tree: " + file.path() + ": " + refused.getMessage(), refused);
            }
            if (pieces.hasLayer()) {
                checked.put(root, layer(pieces, root, layers, hasher));
            }
        }
        byte[] infoBytes = info.encode();
        return new Torrent(
                InfoHash.ofInfo(infoBytes), infoBytes, displayName(name), pieceLength, files, Map.copyOf(checked));
    }

    private static byte[] layer(Pieces pieces, Hash256 root, Map<String, Bencode> layers, BlockHasher hasher) {
        Bencode layer = layers.get(Bencode.Bytes.of(root.toBytes()).latin1());
        if (!(layer instanceof Bencode.Bytes bytes)) {
            throw new MalformedException("the piece layer of root " + root.toShortHex() + " is missing");
        }
        if (bytes.size() != pieces.layerSize()) {
            throw new MalformedException("the piece layer of root " + root.toShortHex() + " has " + bytes.size()
                    + " bytes, expected " + pieces.layerSize());
        }
        byte[] hashes = bytes.toBytes();
        if (!MerkleTree.rootOfLayer(pieces, hashes, hasher).equals(root)) {
            throw new MalformedException("the piece layer of root " + root.toShortHex() + " does not hash to it");
        }
        return hashes;
    }

    /** Some writers end the file with a line end. */
    private static byte[] withoutLineEnd(byte[] torrent) {
        int end = torrent.length;
        while (end > 0 && (torrent[end - 1] == '\n' || torrent[end - 1] == '\r')) {
            end--;
        }
        return end == torrent.length ? torrent : Arrays.copyOf(torrent, end);
    }

    private static String displayName(Bencode.Bytes name) {
        String text = new String(name.toBytes(), StandardCharsets.UTF_8);
        var clean = new StringBuilder();
        text.codePoints().forEach(c -> clean.appendCodePoint(c < ' ' || c == 0x7f || c == '/' || c == '\\' ? '_' : c));
        return clean.toString();
    }

    /** A hybrid torrent lists its files a second time, as version 1 has it: both lists must say the same (BEP 52). */
    private static final class HybridCheck {
        static void check(Bencode.Dict info, String name, int pieceLength, FileTree files) {
            var expected = new ArrayList<FileTree.Entry>();
            long total = 0;
            if (info.get("files") instanceof Bencode.Items(List<Bencode> entries)) {
                for (Bencode entry : entries) {
                    if (!(entry instanceof Bencode.Dict file)) {
                        throw new MalformedException("'files' has an entry that is no dictionary");
                    }
                    long length = file.requiredInt("length", 0, Pieces.MAX_LENGTH);
                    boolean pad = file.get("attr") instanceof Bencode.Bytes(String latin1) && latin1.indexOf('p') >= 0;
                    if (!pad) {
                        if (length > 0 && total % pieceLength != 0) {
                            throw differs("a file does not begin with a piece");
                        }
                        expected.add(new FileTree.Entry(path(file), length, null));
                    }
                    total += length;
                }
            } else {
                total = info.requiredInt("length", 0, Pieces.MAX_LENGTH);
                expected.add(new FileTree.Entry(List.of(name), total, null));
            }
            var found = new ArrayList<FileTree.Entry>();
            for (FileTree.Entry file : files.files()) {
                found.add(new FileTree.Entry(file.path(), file.length(), null));
            }
            if (!found.equals(expected)) {
                throw differs("their files differ");
            }
            int size = info.requiredBytes("pieces").size();
            if (size != 20 * Math.ceilDiv(total, (long) pieceLength)) {
                throw differs("'pieces' has " + size + " bytes");
            }
        }

        private static List<String> path(Bencode.Dict file) {
            var path = new ArrayList<String>();
            if (file.get("path") instanceof Bencode.Items(List<Bencode> parts)) {
                for (Bencode part : parts) {
                    if (!(part instanceof Bencode.Bytes(String latin1))) {
                        throw new MalformedException("'path' has a part that is no string");
                    }
                    path.add(latin1);
                }
            }
            return path;
        }

        private static MalformedException differs(String why) {
            return new MalformedException("version 1 and version 2 of this torrent do not match: " + why);
        }
    }
}

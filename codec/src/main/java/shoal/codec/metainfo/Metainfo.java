package shoal.codec.metainfo;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.BitSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import shoal.codec.base.Hash256;
import shoal.codec.base.MalformedException;

/**
 * A v2 torrent of one file (BEP 52), its piece layer checked: all that is needed to fetch the file and verify each piece. The
 * content's identity is {@link #piecesRoot}; the info-hash covers the name and the piece length too. Immutable.
 */
public final class Metainfo {
    /** Bytes of an info dictionary; a hybrid's carries SHA-1 hashes, ours about 200. */
    public static final int MAX_INFO_BYTES = 1 << 20;

    public static final int MAX_NAME_BYTES = 255;

    private final String name;
    private final Pieces pieces;
    private final Hash256 piecesRoot;
    private final byte[] pieceLayer;
    private final byte[] infoBytes;
    private final InfoHash infoHash;

    private Metainfo(String name, Pieces pieces, Hash256 piecesRoot, byte[] pieceLayer, byte[] infoBytes) {
        this.name = name;
        this.pieces = pieces;
        this.piecesRoot = piecesRoot;
        this.pieceLayer = pieceLayer;
        this.infoBytes = infoBytes;
        infoHash = InfoHash.ofInfo(infoBytes);
    }

    /** Of a file that was hashed here. @throws MalformedException if the name is no {@link #checkName file name} */
    public static Metainfo of(String name, MerkleTree.Result tree) {
        checkName(name);
        Bencode.Dict file = Bencode.Dict.of(Map.of(
                "length",
                new Bencode.Int(tree.pieces().length()),
                "pieces root",
                Bencode.Bytes.of(tree.piecesRoot().toBytes())));
        Bencode.Bytes bytes = Bencode.Bytes.ofText(name);
        Bencode.Dict info = Bencode.Dict.of(Map.of(
                "file tree",
                Bencode.Dict.of(Map.of(bytes.latin1(), Bencode.Dict.of(Map.of("", file)))),
                "meta version",
                new Bencode.Int(2),
                "name",
                bytes,
                "piece length",
                new Bencode.Int(tree.pieces().pieceLength())));
        return new Metainfo(name, tree.pieces(), tree.piecesRoot(), tree.pieceLayer(), info.encode());
    }

    /**
     * Of an info dictionary and a piece layer from a stranger; the caller compares {@link #infoHash} or {@link #piecesRoot} with
     * the one that was asked for.
     *
     * @param pieceLayer empty for a file of one piece
     * @throws MalformedException if they are no torrent of one file, or the layer does not hash to the root
     */
    public static Metainfo ofInfo(byte[] infoBytes, byte[] pieceLayer) {
        return ofInfo(infoBytes, pieceLayer, BlockHasher.plain());
    }

    /** The same. @param hasher computes the tree over the layer */
    public static Metainfo ofInfo(byte[] infoBytes, byte[] pieceLayer, BlockHasher hasher) {
        if (infoBytes.length > MAX_INFO_BYTES) {
            throw new MalformedException("info has " + infoBytes.length + " bytes, allowed 1.." + MAX_INFO_BYTES);
        }
        Metainfo metainfo = of(Torrent.ofInfo(infoBytes, pieceLayer, hasher));
        if (metainfo.pieceLayer.length != pieceLayer.length) {
            throw new MalformedException("the piece layer has " + pieceLayer.length + " bytes, expected 0");
        }
        return metainfo;
    }

    /** Reads a .torrent file. @throws MalformedException if it is none, or has not exactly one file */
    public static Metainfo parse(byte[] torrent) {
        return of(Torrent.parse(torrent));
    }

    private static Metainfo of(Torrent torrent) {
        if (torrent.files().files().size() != 1) {
            throw new MalformedException(
                    "torrent has " + torrent.files().files().size() + " files, Shoal shares one file per torrent");
        }
        FileTree.Entry file = torrent.files().files().getFirst();
        Hash256 root = file.piecesRoot();
        if (root == null) {
            throw new MalformedException("the torrent's file is empty");
        }
        String name = new Bencode.Bytes(file.path().getLast()).text();
        if (name == null) {
            throw new MalformedException("the file's name is not UTF-8");
        }
        checkName(name);
        byte[] layer = Objects.requireNonNullElse(torrent.pieceLayers().get(root), new byte[0]);
        return new Metainfo(name, new Pieces(file.length(), torrent.pieceLength()), root, layer, torrent.infoBytes());
    }

    /**
     * Refuses what is no plain file name: empty, more than 255 bytes, {@code .}, {@code ..}, or with a slash, a backslash, a colon
     * or a control character.
     *
     * @throws MalformedException with the name
     */
    public static String checkName(String name) {
        int size = name.getBytes(StandardCharsets.UTF_8).length;
        if (size < 1 || size > MAX_NAME_BYTES) {
            throw new MalformedException("file name has " + size + " bytes, allowed 1.." + MAX_NAME_BYTES);
        }
        boolean strange = name.codePoints().anyMatch(c -> c < ' ' || c == 0x7f || c == '/' || c == '\\' || c == ':');
        if (strange || name.equals(".") || name.equals("..")) {
            throw new MalformedException(
                    "'" + name + "' is no file name; slashes, colons and control characters are not allowed");
        }
        return name;
    }

    /** The file's name: 1..255 bytes of UTF-8, without separators. */
    public String name() {
        return name;
    }

    /** The file's length in bytes. */
    public long length() {
        return pieces.length();
    }

    public int pieceLength() {
        return pieces.pieceLength();
    }

    public Pieces pieces() {
        return pieces;
    }

    public Hash256 piecesRoot() {
        return piecesRoot;
    }

    /** 32 bytes a piece, empty for a file of one piece. A copy. */
    public byte[] pieceLayer() {
        return pieceLayer.clone();
    }

    /** The bencoded info dictionary. A copy. */
    public byte[] infoBytes() {
        return infoBytes.clone();
    }

    public InfoHash infoHash() {
        return infoHash;
    }

    /** What the leaves of a piece must hash to. @throws IllegalArgumentException if there is no such piece */
    public Hash256 pieceHash(int piece) {
        pieces.offsetOf(piece);
        return pieces.hasLayer() ? Hash256.of(pieceLayer, Hash256.SIZE_BYTES * piece) : piecesRoot;
    }

    /** Whether these leaves, 32 bytes for each of the piece's blocks, are the right ones. */
    public boolean isPiece(int piece, byte[] leafHashes) {
        return leafHashes.length == Hash256.SIZE_BYTES * pieces.blockCountOf(piece)
                && MerkleTree.pieceRoot(pieces, piece, leafHashes).equals(pieceHash(piece));
    }

    /**
     * Which of several pieces these leaves make, by index in pieceNumbers.
     *
     * @param leafHashes 32 bytes for each block of each piece, piece behind piece; overwritten
     * @param hasher computes the trees of all whole pieces side by side
     */
    public BitSet arePieces(int[] pieceNumbers, byte[] leafHashes, BlockHasher hasher) {
        var right = new BitSet();
        int wholeSize = Hash256.SIZE_BYTES * pieces.blocksPerPiece();
        var whole = new byte[pieceNumbers.length * wholeSize];
        var wholeIndex = new int[pieceNumbers.length];
        int count = 0;
        int at = 0;
        for (int i = 0; i < pieceNumbers.length; i++) {
            int size = Hash256.SIZE_BYTES * pieces.blockCountOf(pieceNumbers[i]);
            if (size == wholeSize && pieces.hasLayer()) {
                System.arraycopy(leafHashes, at, whole, count * wholeSize, size);
                wholeIndex[count++] = i;
            } else {
                right.set(i, isPiece(pieceNumbers[i], Arrays.copyOfRange(leafHashes, at, at + size)));
            }
            at += size;
        }
        MerkleTree.reducePieces(pieces, whole, count, hasher);
        for (int j = 0; j < count; j++) {
            Hash256 root = Hash256.of(whole, j * Hash256.SIZE_BYTES);
            right.set(wholeIndex[j], root.equals(pieceHash(pieceNumbers[wholeIndex[j]])));
        }
        return right;
    }

    /** The bytes of a .torrent file. */
    public byte[] toTorrent() {
        Map<String, Bencode> layers = pieces.hasLayer()
                ? Map.of(Bencode.Bytes.of(piecesRoot.toBytes()).latin1(), Bencode.Bytes.of(pieceLayer))
                : Map.of();
        return Bencode.Dict.of(Map.of("info", Bencode.parse(infoBytes), "piece layers", Bencode.Dict.of(layers)))
                .encode();
    }

    public MagnetLink magnetLink() {
        return new MagnetLink(infoHash, name, List.of());
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Metainfo metainfo
                && Arrays.equals(infoBytes, metainfo.infoBytes)
                && Arrays.equals(pieceLayer, metainfo.pieceLayer);
    }

    @Override
    public int hashCode() {
        return infoHash.hashCode();
    }

    @Override
    public String toString() {
        return name + " (" + pieces.length() + " bytes, " + infoHash.hash().toShortHex() + ")";
    }
}

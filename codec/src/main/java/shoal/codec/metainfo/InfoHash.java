package shoal.codec.metainfo;

import shoal.codec.base.Hash256;

/** SHA-256 of a bencoded v2 info dictionary (BEP 52): the name of a torrent, which covers the file's name too. */
public record InfoHash(Hash256 hash) implements Comparable<InfoHash> {
    /** Of the info dictionary's bytes as they stand in the torrent. */
    public static InfoHash ofInfo(byte[] infoBytes) {
        return new InfoHash(Hash256.sha256(infoBytes));
    }

    /** Reads 64 hexadecimal digits. @throws shoal.codec.base.MalformedException otherwise */
    public static InfoHash parse(String hex) {
        return new InfoHash(Hash256.parse(hex));
    }

    public String toHex() {
        return hash.toHex();
    }

    @Override
    public int compareTo(InfoHash other) {
        return hash.compareTo(other.hash);
    }

    @Override
    public String toString() {
        return hash.toHex();
    }
}

package shoal.codec.base;

/** Who a node is: SHA-256 of the public key (SubjectPublicKeyInfo, DER) in its certificate. Also its place in the DHT. */
public record NodeId(Hash256 hash) implements Comparable<NodeId> {
    /** The id that belongs to an encoded public key. */
    public static NodeId ofPublicKey(byte[] subjectPublicKeyInfo) {
        return new NodeId(Hash256.sha256(subjectPublicKeyInfo));
    }

    /** Reads 64 hexadecimal digits. @throws MalformedException otherwise */
    public static NodeId parse(String hex) {
        return new NodeId(Hash256.parse(hex));
    }

    public String toHex() {
        return hash.toHex();
    }

    /** The first eight digits, for logs. */
    public String toShortHex() {
        return hash.toShortHex();
    }

    @Override
    public int compareTo(NodeId other) {
        return hash.compareTo(other.hash);
    }

    @Override
    public String toString() {
        return toHex();
    }
}

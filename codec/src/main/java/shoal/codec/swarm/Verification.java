package shoal.codec.swarm;

/** What is known of a piece's bytes. */
public enum Verification {
    /** Its hash is the one in the metadata. */
    VERIFIED,
    /** Nobody has looked yet. */
    UNKNOWN,
    /** A block's own hash is wrong: its sender is to blame. */
    LEAF_WRONG,
    /** The hashes above are wrong: the metadata or several blocks. */
    PARENT_WRONG
}

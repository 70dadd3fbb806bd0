package shoal.bridge.model;

/** Which bytes of a file are here and verified. */
@FunctionalInterface
public interface Presence {
    /** Of a whole file. */
    Presence ALL = (offset, size) -> true;

    boolean holds(long offset, long size);
}

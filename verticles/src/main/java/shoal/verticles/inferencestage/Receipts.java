package shoal.verticles.inferencestage;

import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import shoal.codec.base.Hash256;
import shoal.codec.base.LayerRange;
import shoal.codec.command.Result;

/**
 * Notes what goes in and out of stages, session by session, while somebody has asked for it: how many tokens, and SHA-256 over what
 * travelled. Safe for several threads.
 */
final class Receipts {
    private record Key(long session, int stage) {}

    private static final class Note {
        private final LayerRange layers;
        private final MessageDigest in = Hash256.sha256Digest();
        private final MessageDigest out = Hash256.sha256Digest();
        private long tokensIn;
        private long tokensOut;

        Note(LayerRange layers) {
            this.layers = layers;
        }
    }

    private final Map<Key, Note> notes = new LinkedHashMap<>();
    private volatile long until = Long.MIN_VALUE;

    /** Notes all from now on, and forgets what was noted before; with 0 seconds nothing changes. */
    synchronized void trace(int seconds, long nowNanos) {
        if (seconds > 0) {
            notes.clear();
            until = nowNanos + seconds * 1_000_000_000L;
        }
    }

    boolean isOn(long nowNanos) {
        return until != Long.MIN_VALUE && nowNanos - until < 0;
    }

    /** Activations came in. @param bytes as they travelled; not consumed */
    void in(long session, int stage, LayerRange layers, int tokens, ByteBuffer bytes) {
        note(session, stage, layers, tokens, bytes, true);
    }

    /** Activations go on. @param bytes as they travel; not consumed */
    void out(long session, int stage, LayerRange layers, int tokens, ByteBuffer bytes) {
        note(session, stage, layers, tokens, bytes, false);
    }

    /** Token ids came in, or were sampled. */
    void tokens(long session, int stage, LayerRange layers, int[] ids, boolean in) {
        ByteBuffer bytes = ByteBuffer.allocate(Integer.BYTES * ids.length);
        for (int id : ids) {
            bytes.putInt(id);
        }
        note(session, stage, layers, ids.length, bytes.flip(), in);
    }

    private synchronized void note(
            long session, int stage, LayerRange layers, int tokens, ByteBuffer bytes, boolean in) {
        if (!isOn(System.nanoTime())) {
            return;
        }
        Key key = new Key(session, stage);
        Note note = notes.get(key);
        if (note == null) {
            if (notes.size() == Result.Receipt.MAX_RECEIPTS) {
                notes.remove(notes.keySet().iterator().next());
            }
            note = new Note(layers);
            notes.put(key, note);
        }
        if (in) {
            note.tokensIn += tokens;
            note.in.update(bytes.duplicate());
        } else {
            note.tokensOut += tokens;
            note.out.update(bytes.duplicate());
        }
    }

    synchronized List<Result.Receipt> all() {
        return notes.entrySet().stream()
                .map(entry -> {
                    Note note = entry.getValue();
                    return new Result.Receipt(
                            entry.getKey().session(),
                            entry.getKey().stage(),
                            note.layers,
                            note.tokensIn,
                            soFar(note.in),
                            note.tokensOut,
                            soFar(note.out));
                })
                .toList();
    }

    private static Hash256 soFar(MessageDigest digest) {
        try {
            return Hash256.of(((MessageDigest) digest.clone()).digest());
        } catch (CloneNotSupportedException impossible) {
            throw new IllegalStateException("SHA-256 cannot be copied here", impossible);
        }
    }
}

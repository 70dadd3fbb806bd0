package shoal.verticles.inferencestage;

import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.Hash256;
import shoal.codec.base.LayerRange;
import shoal.codec.command.Command;
import shoal.codec.command.Result;
import shoal.codec.wire.Frame;
import shoal.codec.wire.Slice;

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

    /** Notes a frame that came in and what a stage made of it; gives the latter back. On the computing thread. */
    @Nullable Frame after(Command.ExecuteTask task, Frame came, @Nullable Frame result) {
        if (result != null && isOn(System.nanoTime())) {
            note(task, came, true);
            note(task, result, false);
        }
        return result;
    }

    private void note(Command.ExecuteTask task, Frame frame, boolean in) {
        switch (frame) {
            case Frame.TokenBatch batch -> {
                int at = 0;
                for (Slice slice : batch.head().slices()) {
                    note(task, slice.session(), batch.tokens().subList(at, at + slice.tokenCount()), in);
                    at += slice.tokenCount();
                }
            }
            case Frame.Activation batch -> {
                int rowBytes = batch.activationType().sizeBytes(batch.hiddenSize());
                ByteBuffer values = batch.values().duplicate();
                for (Slice slice : batch.head().slices()) {
                    int bytes = slice.tokenCount() * rowBytes;
                    note(task, slice.session(), slice.tokenCount(), values.slice(values.position(), bytes), in);
                    values.position(values.position() + bytes);
                }
            }
            case Frame.TokensSampled sampled ->
                sampled.tokens().forEach(token -> note(task, token.session(), List.of(token.token()), in));
            default -> {}
        }
    }

    private void note(Command.ExecuteTask task, long session, List<Integer> ids, boolean in) {
        ByteBuffer bytes = ByteBuffer.allocate(Integer.BYTES * ids.size());
        ids.forEach(bytes::putInt);
        note(task, session, ids.size(), bytes.flip(), in);
    }

    private synchronized void note(Command.ExecuteTask task, long session, int tokens, ByteBuffer bytes, boolean in) {
        Key key = new Key(session, task.stage());
        Note note = notes.get(key);
        if (note == null) {
            if (notes.size() == Result.Receipt.MAX_RECEIPTS) {
                notes.remove(notes.keySet().iterator().next());
            }
            note = new Note(task.layers());
            notes.put(key, note);
        }
        if (in) {
            note.tokensIn += tokens;
            note.in.update(bytes);
        } else {
            note.tokensOut += tokens;
            note.out.update(bytes);
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

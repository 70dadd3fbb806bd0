package shoal.codec.pipeline;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;

/**
 * The rows that a stage has sent, position by position, so that it can send them once more to a stage that takes over behind it. Bounded:
 * the sequence that was written longest ago goes first, whole. One thread at a time.
 */
public final class ReplayLog {
    private static final int BLOCK_ROWS = 16;

    private final long maxBytes;
    private final LinkedHashMap<Long, Rows> bySession = new LinkedHashMap<>(16, 0.75f, true);
    private long bytes;

    /** Blocks of rows; those that others share are whole, and nobody writes there. */
    private static final class Rows {
        private final int rowBytes;

        /** Position of the first row; a multiple of {@link #BLOCK_ROWS}. */
        private final int base;

        private final List<byte[]> blocks = new ArrayList<>();
        private int length;

        Rows(int rowBytes, int base) {
            this.rowBytes = rowBytes;
            this.base = base;
        }

        int end() {
            return base + length;
        }

        long bytes() {
            return (long) blocks.size() * BLOCK_ROWS * rowBytes;
        }

        void truncate(int rows) {
            int kept = Math.ceilDiv(rows, BLOCK_ROWS);
            while (blocks.size() > kept) {
                blocks.removeLast();
            }
            if (rows % BLOCK_ROWS != 0) {
                blocks.addLast(blocks.removeLast().clone());
            }
            length = rows;
        }

        void append(ByteBuffer values, int count) {
            for (int i = 0; i < count; i++) {
                if (length % BLOCK_ROWS == 0) {
                    blocks.add(new byte[BLOCK_ROWS * rowBytes]);
                }
                values.get(blocks.getLast(), length % BLOCK_ROWS * rowBytes, rowBytes);
                length++;
            }
        }
    }

    /** @param maxBytes what all rows may take; 0 keeps none */
    public ReplayLog(long maxBytes) {
        this.maxBytes = maxBytes;
    }

    public long sizeBytes() {
        return bytes;
    }

    /** Begins a sequence with the first rows of another one, whole blocks. */
    public void fork(long parent, long session, int positions) {
        drop(session);
        Rows from = bySession.get(parent);
        if (from != null && from.base < positions && from.end() >= positions && positions % BLOCK_ROWS == 0) {
            var rows = new Rows(from.rowBytes, from.base);
            rows.length = positions - from.base;
            rows.blocks.addAll(from.blocks.subList(0, rows.length / BLOCK_ROWS));
            bySession.put(session, rows);
            bytes += rows.bytes();
        }
    }

    /**
     * Keeps rows from a position on, in place of what was kept from there on. Of a sequence whose earlier rows are not here, those from
     * the next whole block on are kept.
     *
     * @param values read from its position on, count rows
     */
    public void write(long session, int firstPosition, int count, int rowBytes, ByteBuffer values) {
        ByteBuffer from = values.duplicate();
        Rows rows = bySession.get(session);
        int skipped = 0;
        if (rows == null || rows.rowBytes != rowBytes || rows.end() < firstPosition || rows.base > firstPosition) {
            drop(session);
            skipped = Math.floorMod(-firstPosition, BLOCK_ROWS);
            if (skipped >= count || maxBytes == 0) {
                return;
            }
            rows = new Rows(rowBytes, firstPosition + skipped);
            bySession.put(session, rows);
        }
        bytes -= rows.bytes();
        int keptFrom = firstPosition + skipped;
        if (keptFrom < rows.end()) {
            rows.truncate(keptFrom - rows.base);
        }
        rows.append(from.position(from.position() + skipped * rowBytes), count - skipped);
        bytes += rows.bytes();
        while (bytes > maxBytes) {
            drop(bySession.firstEntry().getKey());
        }
    }

    /** Whether these rows are here. */
    public boolean holds(long session, int firstPosition, int count) {
        Rows rows = bySession.get(session);
        return rows != null && rows.base <= firstPosition && rows.end() - count >= firstPosition;
    }

    /** Puts rows that are {@link #holds here} into a buffer. */
    public void read(long session, int firstPosition, int count, ByteBuffer into) {
        Rows rows = bySession.get(session);
        if (rows == null) {
            throw new IllegalArgumentException("nothing is kept of session " + session);
        }
        for (int row = firstPosition - rows.base; row < firstPosition - rows.base + count; row++) {
            into.put(rows.blocks.get(row / BLOCK_ROWS), row % BLOCK_ROWS * rows.rowBytes, rows.rowBytes);
        }
    }

    public void drop(long session) {
        Rows rows = bySession.remove(session);
        if (rows != null) {
            bytes -= rows.bytes();
        }
    }
}

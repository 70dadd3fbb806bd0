package shoal.bridge.kernel.cuda;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.SequencedMap;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;
import shoal.bridge.kernel.device.DeviceException;

/**
 * Copies matrices to a GPU by several threads. Each fills one of its two pieces of pinned memory while the GPU reads the other: one
 * thread alone copies slower than the bus, and pages of a file have to be read besides.
 */
final class CudaUpload {
    private static final long PIECE_BYTES = 8 << 20;
    private static final int MOST_THREADS = 8;
    private static final int PIECES = 2;

    private final Cuda calls;
    private final MemorySegment context;

    CudaUpload(Cuda calls, MemorySegment context) {
        this.calls = calls;
        this.context = context;
    }

    /** A stretch that is copied at once. */
    private record Piece(long target, MemorySegment bytes) {}

    /** Copies each segment to the address of device memory that it goes with; returns when all is there. */
    void run(SequencedMap<Long, MemorySegment> matrices) {
        List<Piece> pieces = new ArrayList<>();
        matrices.forEach((target, bytes) -> {
            for (long at = 0; at < bytes.byteSize(); at += PIECE_BYTES) {
                pieces.add(new Piece(target + at, bytes.asSlice(at, Math.min(PIECE_BYTES, bytes.byteSize() - at))));
            }
        });
        int threads = Math.min(
                Math.min(MOST_THREADS, Runtime.getRuntime().availableProcessors()),
                Math.ceilDiv(pieces.size(), PIECES));
        var next = new AtomicInteger();
        var failure = new AtomicReference<@Nullable RuntimeException>();
        List<Thread> running = new ArrayList<>();
        for (int i = 0; i < threads; i++) {
            running.add(Thread.ofPlatform().daemon().name("upload-" + i).start(() -> {
                try {
                    copy(pieces, next);
                } catch (RuntimeException broken) {
                    failure.compareAndSet(null, broken);
                    next.set(pieces.size());
                }
            }));
        }
        running.forEach(CudaUpload::await);
        RuntimeException broken = failure.get();
        if (broken != null) {
            throw broken;
        }
    }

    private static void await(Thread thread) {
        boolean interrupted = false;
        while (true) {
            try {
                thread.join();
                break;
            } catch (InterruptedException again) {
                interrupted = true; // the buffers must not be freed under the copy
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    /** One thread's work, in a stream of its own. */
    private void copy(List<Piece> pieces, AtomicInteger next) {
        calls.setContext(context);
        MemorySegment stream = calls.createStream();
        var pinned = new ArrayList<MemorySegment>();
        var done = new ArrayList<MemorySegment>();
        try {
            for (int i = 0; i < PIECES; i++) {
                pinned.add(calls.allocateHost(PIECE_BYTES));
                done.add(calls.createEvent());
            }
            int turn = 0;
            for (int i = next.getAndIncrement(); i < pieces.size(); i = next.getAndIncrement()) {
                Piece piece = pieces.get(i);
                calls.waitForEvent(done.get(turn));
                MemorySegment from =
                        pinned.get(turn).asSlice(0, piece.bytes().byteSize()).copyFrom(piece.bytes());
                calls.write(piece.target(), from, stream);
                calls.recordEvent(done.get(turn), stream);
                turn = (turn + 1) % PIECES;
            }
        } finally {
            giveBack(stream, pinned, done);
        }
    }

    private void giveBack(MemorySegment stream, List<MemorySegment> pinned, List<MemorySegment> done) {
        DeviceException failure = null;
        var steps = new ArrayList<Runnable>();
        steps.add(() -> calls.waitForStream(stream));
        done.forEach(event -> steps.add(() -> calls.destroyEvent(event)));
        pinned.forEach(memory -> steps.add(() -> calls.freeHost(memory)));
        steps.add(() -> calls.destroyStream(stream));
        for (Runnable step : steps) {
            try {
                step.run();
            } catch (DeviceException broken) {
                failure = failure == null ? broken : failure;
            }
        }
        if (failure != null) {
            throw failure;
        }
    }
}

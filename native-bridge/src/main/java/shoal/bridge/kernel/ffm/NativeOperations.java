package shoal.bridge.kernel.ffm;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.ref.Reference;
import java.util.List;
import java.util.Set;
import shoal.bridge.kernel.Op;
import shoal.bridge.kernel.SumOrder;
import shoal.bridge.kernel.host.AttentionBlock;
import shoal.bridge.kernel.host.ComputePool;
import shoal.bridge.kernel.host.HostBuffer;
import shoal.bridge.kernel.host.HostOperations;
import shoal.bridge.kernel.host.HostSequence;
import shoal.bridge.kernel.host.HostWeights;
import shoal.bridge.library.NativeLibrary;
import shoal.codec.gguf.GgmlType;

/**
 * Products of matrices, attention, gates and sums of squares in C, with the bits of the plain loops; everything else is done by other
 * operations.
 */
public final class NativeOperations implements HostOperations {
    static final Set<GgmlType> TYPES = Set.of(
            GgmlType.F32,
            GgmlType.F16,
            GgmlType.BF16,
            GgmlType.Q8_0,
            GgmlType.Q4_0,
            GgmlType.Q4_1,
            GgmlType.Q5_0,
            GgmlType.Q5_1,
            GgmlType.Q2_K,
            GgmlType.Q3_K,
            GgmlType.Q4_K,
            GgmlType.Q5_K,
            GgmlType.Q6_K,
            GgmlType.IQ4_NL,
            GgmlType.IQ4_XS,
            GgmlType.MXFP4);

    /** A call lasts a millisecond or so, since the garbage collector waits for it: so many bytes of weights, products, or gates. */
    private static final long CALL_BYTES = 8L << 20;

    private static final long CALL_PRODUCTS = 150_000_000;

    private static final int CALL_ELEMENTS = 1 << 20;

    /** Rows of a panel in C; calls take whole panels. */
    private static final int PANEL_ROWS = 16;

    /** Tokens packed in a call. */
    private static final int PACK_TOKENS = 28;

    /** Half of a usual second cache: so many bytes of panels are gone over tile by tile. */
    private static final long SCRATCH_BYTES = 512 << 10;

    private final KernelSymbols symbols;
    private final InstructionSet level;
    private final HostOperations others;
    private final long callProducts;
    private final ThreadLocal<Scratch> scratch = ThreadLocal.withInitial(Scratch::new);

    /** @param level one of {@link #levels} of that library @param others do what C has no function for */
    public NativeOperations(NativeLibrary.Loaded library, InstructionSet level, HostOperations others) {
        this(library, level, others, CALL_PRODUCTS);
    }

    /** @param callProducts how many products a call does at most, if its smallest part does not take more */
    public NativeOperations(
            NativeLibrary.Loaded library, InstructionSet level, HostOperations others, long callProducts) {
        symbols = new KernelSymbols(library);
        this.level = level;
        this.others = others;
        this.callProducts = callProducts;
    }

    /** What runs on this CPU, slowest first. */
    public static List<InstructionSet> levels(NativeLibrary.Loaded library) {
        return new KernelSymbols(library).levels();
    }

    @Override
    public Set<GgmlType> types() {
        return others.types();
    }

    @Override
    public void prepare(HostWeights w, HostBuffer x, int tokens, ComputePool pool, int pieces) {
        if (!TYPES.contains(w.type())) {
            others.prepare(w, x, tokens, pool, pieces);
        } else if (w.type().blockValues() > 1 && x.packedRows() != tokens) {
            MemorySegment packed = x.room(symbols.packedBytes(x.width(), tokens));
            MemorySegment values = MemorySegment.ofArray(x.values());
            pool.ranges((tokens + PACK_TOKENS - 1) / PACK_TOKENS, pieces, (from, to) -> {
                for (int part = from; part < to; part++) {
                    int first = part * PACK_TOKENS;
                    symbols.pack(
                            level, values, x.width(), tokens, first, Math.min(tokens, first + PACK_TOKENS), packed);
                }
            });
            x.packed(tokens);
        }
    }

    @Override
    public void multiply(
            HostWeights w,
            int firstRow,
            int rowCount,
            HostBuffer x,
            int tokens,
            float[] out,
            int outStride,
            int outColumn) {
        if (!TYPES.contains(w.type())) {
            others.multiply(w, firstRow, rowCount, x, tokens, out, outStride, outColumn);
            return;
        }
        if (tokens == 0) {
            return;
        }
        boolean blocks = w.type().blockValues() > 1;
        if (blocks && x.packedRows() != tokens) {
            throw new IllegalStateException(
                    tokens + " rows of activations are to be multiplied, " + x.packedRows() + " are prepared");
        }
        MemorySegment activations =
                blocks ? x.room(symbols.packedBytes(x.width(), tokens)) : MemorySegment.ofArray(x.values());
        MemorySegment results = MemorySegment.ofArray(out);
        MemorySegment room = scratch.get().room(Math.max(SCRATCH_BYTES, symbols.scratchBytes(w.columns())));
        int step = rowsPerCall(w, tokens);
        for (int row = 0; row < rowCount; row += step) {
            int rows = Math.min(step, rowCount - row);
            symbols.multiply(
                    level,
                    w.type().id(),
                    w.bytes().asSlice((firstRow + row) * w.rowBytes(), rows * w.rowBytes()),
                    rows,
                    w.columns(),
                    activations,
                    tokens,
                    results.asSlice((long) Float.BYTES * (outColumn + row)),
                    outStride,
                    room);
        }
    }

    private int rowsPerCall(HostWeights w, int tokens) {
        long rows = Math.min(CALL_BYTES / w.rowBytes(), callProducts / ((long) w.columns() * tokens));
        return (int) Math.max(PANEL_ROWS, rows / PANEL_ROWS * PANEL_ROWS);
    }

    @Override
    public void dequantiseRow(HostWeights w, int row, float[] out, int outOffset) {
        others.dequantiseRow(w, row, out, outOffset);
    }

    @Override
    public float sum(float[] values, int offset, int size) {
        return others.sum(values, offset, size);
    }

    @Override
    public float sumOfSquares(float[] values, int offset, int size) {
        return symbols.sumOfSquares(level, slice(values, offset), size);
    }

    @Override
    public void attend(AttentionBlock block) {
        HostSequence sequence = block.sequence();
        int size = sequence.shape().headSize();
        if (size % SumOrder.LANES != 0) {
            others.attend(block);
            return;
        }
        Scratch own = scratch.get();
        int first = block.first(0) / HostSequence.PAGE_POSITIONS;
        int pages = (block.end(block.count() - 1) - 1) / HostSequence.PAGE_POSITIONS + 1 - first;
        int rows = block.rows();
        if (rows > 1 && 2L * size * pages * HostSequence.PAGE_POSITIONS * block.count() > callProducts) {
            attend(block.part(0, rows / 2));
            attend(block.part(rows / 2, rows));
            return;
        }
        float[] sinks = block.rule().sinks();
        symbols.attend(
                level,
                block,
                own.addresses(sequence, first, pages),
                slice(block.queries(), block.start()),
                slice(block.out(), block.start()),
                sinks == null ? MemorySegment.NULL : slice(sinks, block.firstHead()),
                own.room(symbols.attendBytes(size, block.count(), pages * HostSequence.PAGE_POSITIONS)));
        Reference.reachabilityFence(sequence);
    }

    private static MemorySegment slice(float[] values, int from) {
        return MemorySegment.ofArray(values).asSlice((long) Float.BYTES * from);
    }

    @Override
    public void gate(float[] gate, float[] up, Op.Gating gating, int from, int to) {
        switch (gating) {
            case SILU, GELU -> {
                for (int at = from; at < to; at += CALL_ELEMENTS) {
                    int count = Math.min(CALL_ELEMENTS, to - at);
                    symbols.gate(level, gating == Op.Gating.GELU, slice(gate, at), slice(up, at), count);
                }
            }
            case CLAMPED_SILU -> others.gate(gate, up, gating, from, to);
        }
    }

    /** What one thread's calls need; grows, never shrinks, and is freed with the thread. */
    private static final class Scratch {
        private MemorySegment room = MemorySegment.NULL;
        private long[] addresses = new long[0];

        /** At least so many bytes outside the heap, aligned to 64. */
        MemorySegment room(long bytes) {
            if (room.byteSize() < bytes) {
                room = Arena.ofAuto().allocate(bytes, 64);
            }
            return room;
        }

        /** Where so many pages of a sequence lie, from page first on. */
        MemorySegment addresses(HostSequence sequence, int first, int count) {
            if (addresses.length < count) {
                addresses = new long[2 * count];
            }
            for (int i = 0; i < count; i++) {
                addresses[i] =
                        sequence.page((first + i) * HostSequence.PAGE_POSITIONS).address();
            }
            return MemorySegment.ofArray(addresses);
        }
    }
}

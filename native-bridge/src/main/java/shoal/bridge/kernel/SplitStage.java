package shoal.bridge.kernel;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/** A stage whose layers are spread over several kernels. Activations between them lie outside the heap, in memory that this owns. */
final class SplitStage implements CompiledStage {
    private final List<Part> parts;
    private @Nullable Arena arena;
    private final MemorySegment[] between;

    /** @param first, last layers of the whole stage, counted from 0 */
    record Part(Kernels kernels, StageProgram program, CompiledStage stage, int first, int last) {}

    SplitStage(List<Part> parts) {
        this.parts = List.copyOf(parts);
        between = new MemorySegment[parts.size() - 1];
        Arrays.fill(between, MemorySegment.NULL);
    }

    @Override
    public String placement() {
        return parts.stream()
                .map(part -> "layers " + part.first() + "-" + part.last() + " on "
                        + part.kernels().name())
                .collect(Collectors.joining(", "));
    }

    private record Sequence(SplitStage stage, List<SequenceMemory> parts) implements SequenceMemory {
        /** What all parts hold: one may have failed where those before it had not. */
        @Override
        public int length() {
            return parts.stream().mapToInt(SequenceMemory::length).min().orElse(0);
        }

        @Override
        public int capacity() {
            return parts.getFirst().capacity();
        }

        @Override
        public void truncate(int length) {
            parts.forEach(part -> part.truncate(length));
        }

        @Override
        public CacheShape shape() {
            CacheShape first = parts.getFirst().shape();
            int layers = parts.stream().mapToInt(part -> part.shape().layers()).sum();
            return new CacheShape(layers, first.kvHeads(), first.headSize(), first.type());
        }

        @Override
        public void copyTo(KeyValuePages to) {
            to.requireHeldBy(shape(), length());
            int first = 0;
            for (SequenceMemory part : parts) {
                part.copyTo(to.layers(first, part.shape().layers()));
                first += part.shape().layers();
            }
        }

        @Override
        public void copyFrom(KeyValuePages from) {
            from.requireRoomIn(shape(), length(), capacity());
            int first = 0;
            for (SequenceMemory part : parts) {
                part.copyFrom(from.layers(first, part.shape().layers()));
                first += part.shape().layers();
            }
        }

        @Override
        public SequenceMemory fork(int positions) {
            var forks = new ArrayList<SequenceMemory>();
            try {
                parts.forEach(part -> forks.add(part.fork(positions)));
            } catch (RuntimeException failure) {
                forks.forEach(SequenceMemory::close);
                throw failure;
            }
            return new Sequence(stage, List.copyOf(forks));
        }

        @Override
        public long sizeBytes() {
            return parts.stream().mapToLong(SequenceMemory::sizeBytes).sum();
        }

        @Override
        public void close() {
            parts.forEach(SequenceMemory::close);
        }
    }

    @Override
    public SequenceMemory openSequence(int capacity) {
        return new Sequence(
                this,
                parts.stream().map(part -> part.stage().openSequence(capacity)).toList());
    }

    /** Of the part that holds most; each has pages of its own layers. */
    @Override
    public int pagesInUse() {
        return parts.stream().mapToInt(part -> part.stage().pagesInUse()).max().orElse(0);
    }

    @Override
    public int mostPicks() {
        return parts.getLast().stage().mostPicks();
    }

    @Override
    public synchronized void run(StageBatch batch) {
        for (int i = 0; i < batch.slices().size(); i++) {
            if (!(batch.slices().get(i).sequence() instanceof Sequence sequence) || sequence.stage() != this) {
                throw new IllegalArgumentException("slice " + i + " has a sequence that another stage opened");
            }
        }
        int tokens = batch.tokenCount();
        for (int i = 0; i < parts.size(); i++) {
            boolean last = i + 1 == parts.size();
            int part = i;
            List<StageBatch.Slice> slices = new ArrayList<>();
            for (StageBatch.Slice slice : batch.slices()) {
                slices.add(new StageBatch.Slice(
                        ((Sequence) slice.sequence()).parts().get(part), slice.firstPosition(), slice.tokenCount()));
            }
            parts.get(i)
                    .stage()
                    .run(new StageBatch(
                            slices,
                            i == 0 ? batch.tokenIds() : null,
                            i == 0 ? batch.input() : between[i - 1],
                            last ? batch.logitRows() : new int[0],
                            last ? batch.picks() : new int[0],
                            last ? batch.output() : room(i, tokens)));
        }
    }

    /** Room for what a part hands on. */
    private MemorySegment room(int part, int tokens) {
        long bytes = (long) tokens * parts.get(part).program().output().width() * Float.BYTES;
        if (between[part].byteSize() < bytes) {
            Arena before = arena;
            Arena after = Arena.ofShared();
            for (int i = 0; i < between.length; i++) {
                long width = parts.get(i).program().output().width();
                between[i] = after.allocate(Math.max(1, tokens * width * Float.BYTES), Long.BYTES);
            }
            arena = after;
            if (before != null) {
                before.close();
            }
        }
        return between[part];
    }

    @Override
    public synchronized void close() {
        parts.forEach(part -> part.stage().close());
        if (arena != null) {
            arena.close();
            arena = null;
        }
    }
}

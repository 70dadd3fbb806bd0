package shoal.verticles.inferencestage;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.LongConsumer;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import shoal.bridge.kernel.SequenceMemory;
import shoal.bridge.kernel.TopLogits;
import shoal.bridge.model.Batch;
import shoal.bridge.model.Stage;
import shoal.bridge.model.text.Tokenizer;
import shoal.codec.base.Epoch;
import shoal.codec.command.Command;
import shoal.codec.pipeline.ReplayLog;
import shoal.codec.pipeline.StageLedger;
import shoal.codec.wire.ActivationType;
import shoal.codec.wire.BatchHead;
import shoal.codec.wire.ErrorCode;
import shoal.codec.wire.Frame;
import shoal.codec.wire.Slice;

/**
 * One stage of one pipeline, and all that it holds of sequences: keys and values, how to sample, and what it has sent. Owns the
 * sequences' memory; to be closed before the stage. On the computing thread alone, but for {@link #rows}, which is for any thread.
 */
final class PipelineStage implements AutoCloseable {
    private static final int MAX_SEQUENCES = 4096;

    /** Where attention still costs little beside the weights. */
    private static final int EARLY_POSITIONS = 256;

    private static final ValueLayout.OfFloat FLOAT =
            ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    private final Stage stage;
    private final Supplier<Tokenizer> tokenizer;
    private final StageLedger ledger = new StageLedger();
    private final ReplayLog log;
    private final CopyShelf shelf;
    private final PageCopies copies = new PageCopies();
    private final WireRows rows = new WireRows();
    private final Map<Long, SequenceMemory> sequences = new HashMap<>();
    private final Map<Long, StageSampling> samplings = new HashMap<>();
    private final LongConsumer tokenNanos;
    private float[] logits = new float[0];

    /**
     * @param logBytes what may be kept of what was sent
     * @param shelf with what it may have been sent of the stage that it takes over from
     * @param tokenNanos told how long a token took where that can be compared with others
     */
    PipelineStage(Stage stage, Supplier<Tokenizer> tokenizer, long logBytes, CopyShelf shelf, LongConsumer tokenNanos) {
        this.shelf = shelf;
        this.stage = stage;
        this.tokenNanos = tokenNanos;
        this.tokenizer = tokenizer;
        this.log = new ReplayLog(logBytes);
    }

    Stage stage() {
        return stage;
    }

    WireRows rows() {
        return rows;
    }

    /** @return whether it belongs to this epoch now, and knew of no earlier one */
    boolean join(Epoch epoch) {
        boolean fresh = ledger.sequences() == 0;
        ledger.join(epoch);
        return fresh;
    }

    /** Runs a micro-batch of token ids. Gives the frame to send, or null for one that is of another epoch or came twice. */
    @Nullable Frame run(Command.ExecuteTask task, Frame.TokenBatch batch) {
        if (!ledger.take(batch.head())) {
            return null;
        }
        int[] ids = new int[batch.tokens().size()];
        for (int i = 0; i < ids.length; i++) {
            ids[i] = batch.tokens().get(i);
        }
        return run(task, batch.head(), List.of(), () -> new Batch.Input.Tokens(ids));
    }

    /** Runs a micro-batch of the stage before. */
    @Nullable Frame run(Command.ExecuteTask task, Frame.Activation batch) {
        if (!ledger.take(batch.head())) {
            return null;
        }
        if (batch.hiddenSize() != stage.config().hidden()) {
            throw new IllegalStateException("layers " + stage.range() + " got rows of " + batch.hiddenSize()
                    + " values, theirs have " + stage.config().hidden());
        }
        return run(
                task,
                batch.head(),
                batch.busyMicros(),
                () -> new Batch.Input.Activations(rows.decode(
                        batch.activationType(), batch.values(), batch.head().tokenCount() * batch.hiddenSize())));
    }

    private Frame run(
            Command.ExecuteTask task, BatchHead head, List<Integer> busyBefore, Supplier<Batch.Input> source) {
        head.slices().stream().filter(Slice::copied).forEach(slice -> takeUp(head.pipeline(), slice));
        List<Long> lacking = ledger.lacking(head);
        if (!lacking.isEmpty()) {
            return failed(head, lacking, ErrorCode.NOT_FOUND, "it lacks what came before");
        }
        if (sequences.size() + head.slices().size() > MAX_SEQUENCES) {
            List<Long> all = head.slices().stream().map(Slice::session).toList();
            return failed(head, all, ErrorCode.BUSY, "it holds " + MAX_SEQUENCES + " sequences already");
        }
        long begun = System.nanoTime();
        Batch.Input input = source.get();
        if (input instanceof Batch.Input.Tokens != stage.isFirst()) {
            throw new IllegalStateException("layers " + stage.range() + " got the input of another stage");
        }
        MemorySegment output;
        try {
            var batch = new Batch(slices(head), input);
            output = rows.output(stage.outputBytes(batch));
            long computing = System.nanoTime();
            stage.run(batch, output);
            if (isOneEarlyToken(head)) {
                tokenNanos.accept(System.nanoTime() - computing);
            }
        } catch (RuntimeException failure) {
            forgetWhatFailed(head);
            throw failure;
        }
        ledger.computed(head);
        return stage.isLast()
                ? sampled(head, output, busyBefore, begun)
                : handedOn(task, head, output, busyBefore, begun);
    }

    /** What it lacks of a sequence, as far as it was sent copies of it. */
    private void takeUp(long pipeline, Slice slice) {
        if (ledger.length(slice.session()) >= slice.firstPosition()) {
            return;
        }
        SequenceMemory memory = shelf.take(pipeline, stage, slice.session(), slice.firstPosition());
        if (memory != null) {
            closeMemory(slice.session());
            sequences.put(slice.session(), memory);
            ledger.takenUp(slice.session(), slice.firstPosition());
        }
    }

    /** Another node stands by for this stage, and has nothing of it. */
    void copyAnew() {
        copies.begin();
    }

    /**
     * What the node that stands by is sent next; null for nothing. Its bytes are valid until the next call.
     *
     * @param order in which the kernels here add numbers
     */
    Frame.@Nullable KeyValues nextCopy(Command.ExecuteTask task, String order) {
        PageCopies.Chunk chunk = copies.next(sequences, ledger);
        return chunk == null
                ? null
                : new Frame.KeyValues(
                        task.pipeline(),
                        task.infoHash(),
                        task.layers(),
                        chunk.session(),
                        chunk.pages().first(),
                        chunk.pages().positions(),
                        order,
                        chunk.pages().sealed().asByteBuffer());
    }

    /** Of such tokens all take about as long: there is little to attend to yet. */
    private static boolean isOneEarlyToken(BatchHead head) {
        return head.tokenCount() == 1 && head.slices().getFirst().firstPosition() < EARLY_POSITIONS;
    }

    private List<Batch.Slice> slices(BatchHead head) {
        var slices = new ArrayList<Batch.Slice>(head.slices().size());
        for (Slice slice : head.slices()) {
            if (slice.parent() != 0) {
                closeMemory(slice.session());
                SequenceMemory parent = sequences.get(slice.parent());
                if (parent == null) {
                    throw new IllegalStateException("session " + slice.parent() + " is in the ledger, but not here");
                }
                sequences.put(slice.session(), parent.fork(slice.firstPosition()));
                log.fork(slice.parent(), slice.session(), slice.firstPosition());
            }
            SequenceMemory memory = sequences.computeIfAbsent(slice.session(), _ -> stage.openSequence());
            Batch.Wanted wanted = !slice.sample()
                    ? Batch.Wanted.NONE
                    : slice.drafted().isEmpty() ? Batch.Wanted.LAST : Batch.Wanted.ALL;
            slices.add(
                    new Batch.Slice(memory, slice.firstPosition(), slice.tokenCount(), wanted, picks(slice.session())));
        }
        return slices;
    }

    /** How many of the highest logits decide a session's tokens, where the stage can pick them; else 0. */
    private int picks(long session) {
        StageSampling sampling = samplings.get(session);
        int deciding = sampling == null ? 0 : Math.min(sampling.deciding(), stage.outputWidth());
        return deciding <= stage.mostPicks() ? deciding : 0;
    }

    private void forgetWhatFailed(BatchHead head) {
        for (Slice slice : head.slices()) {
            if (ledger.length(slice.session()) == 0) {
                close(slice.session());
            }
        }
    }

    private Frame handedOn(
            Command.ExecuteTask task, BatchHead head, MemorySegment output, List<Integer> busyBefore, long begun) {
        int width = stage.outputWidth();
        ActivationType type = task.activations();
        ByteBuffer values = rows.encode(type, output, head.tokenCount() * width);
        int rowBytes = type.sizeBytes(width);
        int at = 0;
        for (Slice slice : head.slices()) {
            log.write(
                    slice.session(),
                    slice.firstPosition(),
                    slice.tokenCount(),
                    rowBytes,
                    values.duplicate().position(at));
            at += slice.tokenCount() * rowBytes;
        }
        List<Integer> busy = with(busyBefore, begun);
        if (head.stage() == head.lastStage()) {
            rows.giveBack(values);
            return new Frame.TokensSampled(head.pipeline(), head.epoch(), head.number(), busy, List.of());
        }
        return new Frame.Activation(head.next(), type, width, busy, values);
    }

    private Frame sampled(BatchHead head, MemorySegment output, List<Integer> busyBefore, long begun) {
        var tokens = new ArrayList<Frame.SampledToken>();
        var unknown = new ArrayList<Long>();
        int width = stage.outputWidth();
        if (logits.length != width) {
            logits = new float[width];
        }
        long at = 0;
        for (Slice slice : head.slices()) {
            if (!slice.sample()) {
                continue;
            }
            StageSampling sampling = samplings.get(slice.session());
            List<Integer> drafted = slice.drafted();
            int position = slice.end() - drafted.size();
            int picks = picks(slice.session());
            long rowBytes = TopLogits.rowBytes(picks, width);
            if (sampling == null || !sampling.knows(position)) {
                unknown.add(slice.session());
            } else {
                for (int i = 0; i <= drafted.size(); i++) {
                    Frame.SampledToken token;
                    if (picks > 0) {
                        token = sampling.sample(
                                slice.session(), TopLogits.read(output, at + i * rowBytes, picks), position + i);
                    } else {
                        MemorySegment.copy(output, FLOAT, at + i * rowBytes, logits, 0, width);
                        token = sampling.sample(slice.session(), logits, position + i);
                    }
                    tokens.add(token);
                    if (i < drafted.size() && token.token() != drafted.get(i)) {
                        break;
                    }
                }
            }
            at += (1 + drafted.size()) * rowBytes;
        }
        return unknown.isEmpty()
                ? new Frame.TokensSampled(head.pipeline(), head.epoch(), head.number(), with(busyBefore, begun), tokens)
                : failed(head, unknown, ErrorCode.NOT_FOUND, "it was not told how to sample");
    }

    private static List<Integer> with(List<Integer> busyBefore, long begunNanos) {
        var busy = new ArrayList<Integer>(busyBefore.size() + 1);
        busy.addAll(busyBefore);
        busy.add((int) Math.min(Integer.MAX_VALUE, (System.nanoTime() - begunNanos) / 1000));
        return busy;
    }

    private Frame failed(BatchHead head, List<Long> sessions, ErrorCode code, String why) {
        return new Frame.StageFailed(
                head.pipeline(), head.epoch(), head.number(), sessions, code, "layers " + stage.range() + ": " + why);
    }

    /** What it sent of these slices before, for the stage that took over behind it; null as in {@link #run}. */
    @Nullable Frame replay(Command.ExecuteTask task, BatchHead head) {
        if (!ledger.take(head)) {
            return null;
        }
        var gone = new ArrayList<Long>();
        for (Slice slice : head.slices()) {
            if (!log.holds(slice.session(), slice.firstPosition(), slice.tokenCount())) {
                gone.add(slice.session());
            }
        }
        if (!gone.isEmpty()) {
            return failed(head, gone, ErrorCode.NOT_FOUND, "what it sent is not kept any more");
        }
        int width = stage.outputWidth();
        ActivationType type = task.activations();
        ByteBuffer values = rows.take(type.sizeBytes(head.tokenCount() * width));
        for (Slice slice : head.slices()) {
            log.read(slice.session(), slice.firstPosition(), slice.tokenCount(), values);
        }
        return new Frame.Activation(head.next(), type, width, List.of(), values.flip());
    }

    /** How a sequence's tokens will be chosen; on a last stage. */
    void open(Frame.OpenSequence open) {
        if (!ledger.isOf(open.epoch())) {
            return;
        }
        if (samplings.size() >= MAX_SEQUENCES && !samplings.containsKey(open.session())) {
            throw new IllegalStateException("there are " + MAX_SEQUENCES + " sequences already");
        }
        samplings.put(
                open.session(), new StageSampling(open, open.sampling().needsVocabulary() ? tokenizer.get() : null));
    }

    void learn(Frame.SequenceTokens tokens) {
        StageSampling sampling = samplings.get(tokens.session());
        if (sampling != null && ledger.isOf(tokens.epoch())) {
            sampling.learn(tokens, stage.contextLength());
        }
    }

    /** @return those that it held and has dropped */
    List<Long> release(Frame.Release release) {
        List<Long> dropped = ledger.release(release);
        for (long session : release.sessions()) {
            if (ledger.length(session) == 0) {
                close(session);
            }
        }
        return dropped;
    }

    private void closeMemory(long session) {
        SequenceMemory memory = sequences.remove(session);
        if (memory != null) {
            memory.close();
        }
    }

    private void close(long session) {
        closeMemory(session);
        samplings.remove(session);
        copies.forget(session);
        log.drop(session);
    }

    int sequences() {
        return sequences.size();
    }

    @Override
    public void close() {
        List.copyOf(sequences.keySet()).forEach(this::close);
        samplings.clear();
    }
}

package shoal.codec.pipeline;

import java.util.ArrayList;
import java.util.List;
import shoal.codec.base.Epoch;
import shoal.codec.pipeline.Scheduler.Effect;
import shoal.codec.wire.BatchHead;
import shoal.codec.wire.Frame;
import shoal.codec.wire.Sampling;
import shoal.codec.wire.SamplingState;
import shoal.codec.wire.Slice;

/** Puts what is decided into frames. */
final class Framing {
    private final long pipeline;

    Framing(long pipeline) {
        this.pipeline = pipeline;
    }

    /** The token that tries a pipeline, and how its successor is chosen. */
    void canary(MicroBatch batch, int token, Epoch epoch, int stages, List<Effect> to) {
        long session = batch.slices.getFirst().session();
        to.add(new Effect.Send(
                new Frame.OpenSequence(pipeline, epoch, 0, session, 1, SamplingState.START, Sampling.GREEDY)));
        to.add(new Effect.Send(new Frame.TokenBatch(
                new BatchHead(pipeline, epoch, batch.number, 0, stages - 1, batch.slices), List.of(token))));
    }

    /** Work for all stages, or for those that it fills up. */
    void work(MicroBatch batch, Epoch epoch, int stages, List<Effect> to) {
        Group group = batch.refill;
        if (group != null && group.first() > 0) {
            to.add(new Effect.SendAgain(new Frame.Replay(
                    new BatchHead(pipeline, epoch, batch.number, group.first() - 1, group.last(), batch.slices))));
            return;
        }
        var ids = new ArrayList<Integer>(batch.tokens);
        for (int i = 0; i < batch.slices.size(); i++) {
            Slice slice = batch.slices.get(i);
            int known = slice.end() - slice.drafted().size();
            for (int position = slice.firstPosition(); position < known; position++) {
                ids.add(batch.sequences.get(i).token(position));
            }
            ids.addAll(slice.drafted());
        }
        int last = group == null ? stages - 1 : group.last();
        to.add(new Effect.Send(
                new Frame.TokenBatch(new BatchHead(pipeline, epoch, batch.number, 0, last, batch.slices), ids)));
    }

    /** How a sequence's tokens are to be chosen. */
    void tell(Sequence sequence, Epoch epoch, List<Effect> to) {
        Scheduler.Request request = sequence.request;
        to.add(new Effect.Send(new Frame.OpenSequence(
                pipeline, epoch, 0, sequence.id(), request.promptSize(), sequence.samplingState, request.sampling())));
        if (request.sampling().needsHistory()) {
            for (int from = 0; from < sequence.size(); from += BatchHead.MAX_TOKENS) {
                int end = Math.min(sequence.size(), from + BatchHead.MAX_TOKENS);
                to.add(new Effect.Send(
                        new Frame.SequenceTokens(pipeline, epoch, 0, sequence.id(), from, sequence.tokens(from, end))));
            }
        }
    }

    /** @param nextNumber of the next micro-batch: a sequence that it touches is not meant */
    void release(List<Long> sessions, int nextNumber, List<Effect> to) {
        for (int from = 0; from < sessions.size(); from += Frame.Release.MAX_SESSIONS) {
            int end = Math.min(sessions.size(), from + Frame.Release.MAX_SESSIONS);
            to.add(new Effect.Release(new Frame.Release(pipeline, nextNumber, sessions.subList(from, end))));
        }
    }
}

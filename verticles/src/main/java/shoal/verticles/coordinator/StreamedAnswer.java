package shoal.verticles.coordinator;

import java.util.List;
import shoal.bridge.model.text.Detokenizer;
import shoal.bridge.model.text.StopTexts;
import shoal.codec.wire.ErrorCode;
import shoal.codec.wire.Frame;
import shoal.codec.wire.TokenLogprob;
import shoal.verticles.quic.FrameStream;

/** Tells an answer by QUIC, token by token. */
final class StreamedAnswer implements Generations.Listener {
    private final FrameStream stream;
    private final Detokenizer detokenizer;
    private final StopTexts stops;
    private final AnswerClock clock;

    StreamedAnswer(FrameStream stream, Model model, List<String> stop, long begunNanos) {
        this.stream = stream;
        this.detokenizer = new Detokenizer(model.tokenizer(), true);
        this.stops = new StopTexts(stop);
        this.clock = new AnswerClock(begunNanos);
    }

    @Override
    public boolean token(int token, float logProbability, List<TokenLogprob> top) {
        clock.token();
        stream.send(new Frame.GeneratedToken(token, stops.next(detokenizer.next(token)), logProbability, top));
        return stops.stopped();
    }

    @Override
    public void finished(Frame.StopReason reason) {
        String rest = stops.next(detokenizer.end()) + stops.end();
        stream.send(new Frame.GenerationDone(
                        stops.stopped() ? Frame.StopReason.STOP : reason,
                        rest,
                        clock.firstMicros(),
                        clock.totalMicros()))
                .onSuccess(_ -> stream.end());
    }

    @Override
    public void failed(ErrorCode code, String message) {
        stream.refuse(code, message);
    }
}

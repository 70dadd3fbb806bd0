package shoal.verticles.coordinator;

import io.vertx.core.Future;
import io.vertx.core.Promise;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import shoal.bridge.model.text.Detokenizer;
import shoal.codec.command.CommandException;
import shoal.codec.command.Result;
import shoal.codec.wire.ErrorCode;
import shoal.codec.wire.Frame;
import shoal.codec.wire.TokenLogprob;

/** Gathers an answer for the event bus. */
final class WholeAnswer implements Generations.Listener {
    private final List<Integer> prompt;
    private final Detokenizer detokenizer;
    private final StringBuilder text = new StringBuilder();
    private final List<Integer> tokens = new ArrayList<>();
    private final Promise<Result.Generated> answered = Promise.promise();

    WholeAnswer(Model model, List<Integer> prompt) {
        this.prompt = prompt;
        detokenizer = new Detokenizer(model.tokenizer(), true);
    }

    /** Completes when it is whole. */
    Future<Result.Generated> answered() {
        return answered.future();
    }

    @Override
    public boolean token(int token, float logProbability, List<TokenLogprob> top) {
        tokens.add(token);
        text.append(detokenizer.next(token));
        return false;
    }

    @Override
    public void finished(Frame.StopReason reason) {
        text.append(detokenizer.end());
        answered.tryComplete(new Result.Generated(
                prompt, tokens, text.toString(), reason.name().toLowerCase(Locale.ROOT)));
    }

    @Override
    public void failed(ErrorCode code, String message) {
        answered.tryFail(new CommandException(message));
    }
}

package shoal.verticles.coordinator;

import io.vertx.core.Future;
import io.vertx.core.Promise;
import io.vertx.core.Vertx;
import java.time.Duration;
import java.util.List;
import shoal.codec.command.CommandException;
import shoal.codec.wire.ErrorCode;
import shoal.codec.wire.Frame;
import shoal.codec.wire.Sampling;
import shoal.codec.wire.TokenLogprob;

/** One token through every stage of a pipeline, before anybody depends on it. */
final class Canary {
    private Canary() {}

    /** Fails with the reason, or when the time is up. */
    static Future<Void> fly(Vertx vertx, Generations generations, Model model, Pipeline through, Duration patience) {
        Promise<Void> passed = Promise.promise();
        int token = Math.max(0, model.tokenizer().beginOfText());
        long id = generations.run(
                model, through, List.of(token), 1, Sampling.GREEDY, 0, "canary", new Generations.Listener() {
                    @Override
                    public boolean token(int sampled, float logProbability, List<TokenLogprob> top) {
                        return false;
                    }

                    @Override
                    public void finished(Frame.StopReason reason) {
                        passed.tryComplete();
                    }

                    @Override
                    public void failed(ErrorCode code, String message) {
                        passed.tryFail(new CommandException("the canary token did not pass: " + message));
                    }
                });
        long timer = vertx.setTimer(patience.toMillis(), _ -> {
            if (passed.tryFail(new CommandException(
                    "the canary token did not pass within " + patience.toSeconds() + " s through " + through))) {
                generations.cancel(id);
            }
        });
        return passed.future().onComplete(_ -> vertx.cancelTimer(timer));
    }
}

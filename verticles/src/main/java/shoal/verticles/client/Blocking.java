package shoal.verticles.client;

import io.vertx.core.Context;
import io.vertx.core.Future;
import java.util.concurrent.CompletionException;

/** Waiting on a program's own thread, never on an event loop. */
public final class Blocking {
    private Blocking() {}

    /** The future's result; a failure is thrown as it is where it is a RuntimeException. */
    public static <T> T await(Future<T> future) {
        if (Context.isOnEventLoopThread()) {
            throw new IllegalStateException("an event loop may not wait");
        }
        try {
            return future.toCompletionStage().toCompletableFuture().join();
        } catch (CompletionException failure) {
            if (failure.getCause() instanceof RuntimeException cause) {
                throw cause;
            }
            throw failure;
        }
    }
}

package shoal.verticles.quic;

import io.netty.channel.EventLoop;
import io.vertx.core.Context;
import io.vertx.core.Deployable;
import io.vertx.core.Future;
import io.vertx.core.Promise;
import io.vertx.core.ThreadingModel;
import io.vertx.core.internal.ContextInternal;
import io.vertx.core.internal.VertxInternal;
import java.util.concurrent.Callable;

/** A verticle on an event loop that is given, not on the next in turn. */
final class Beside implements Deployable {
    private final ContextInternal own;
    private final Deployable verticle;

    Beside(VertxInternal vertx, EventLoop loop, Deployable verticle) {
        this.own = vertx.contextBuilder()
                .withThreadingModel(ThreadingModel.EVENT_LOOP)
                .withEventLoop(loop)
                .build();
        this.verticle = verticle;
    }

    @Override
    public Future<?> deploy(Context given) {
        return onOwn(given, () -> verticle.deploy(own));
    }

    @Override
    public Future<?> undeploy(Context given) {
        return onOwn(given, () -> verticle.undeploy(own));
    }

    private Future<?> onOwn(Context given, Callable<Future<?>> step) {
        Promise<Void> done = ((ContextInternal) given).promise();
        own.runOnContext(_ -> {
            try {
                step.call().<Void>mapEmpty().onComplete(done);
            } catch (Exception failure) {
                done.fail(failure);
            }
        });
        return done.future();
    }
}

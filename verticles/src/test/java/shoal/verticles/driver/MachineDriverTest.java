package shoal.verticles.driver;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vertx.core.Context;
import io.vertx.core.Vertx;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import shoal.codec.base.Machine;

class MachineDriverTest {
    private static final String TICK = "tick";

    private final Vertx vertx = Vertx.vertx();
    private final Context context = vertx.getOrCreateContext();

    @AfterEach
    void close() {
        vertx.close().toCompletionStage().toCompletableFuture().join();
    }

    /** Gives each input back as an effect, in the list that it uses for all, and wants ticks when it is told to. */
    private static final class Echo implements Machine<String, String> {
        final List<String> effects = new ArrayList<>();
        final List<Long> tickNanos = new ArrayList<>();
        long deadline = Long.MAX_VALUE;
        boolean inside;

        @Override
        public List<String> handle(String input, long nowNanos) {
            assertFalse(inside, "entered twice");
            inside = true;
            effects.clear();
            if (input.equals(TICK)) {
                assertTrue(nowNanos >= deadline, "ticked too early");
                deadline = Long.MAX_VALUE;
            } else if (input.startsWith("wake in ms ")) {
                deadline = nowNanos + 1_000_000L * Long.parseLong(input.substring(11));
            }
            effects.add(input + ".");
            effects.add(input + "!");
            inside = false;
            return effects;
        }

        @Override
        public long deadlineNanos() {
            return deadline;
        }
    }

    @Test
    void whatComesInWhileEffectsAreCarriedOutWaitsItsTurn() throws Exception {
        var carriedOut = new ArrayList<String>();
        onContext(() -> {
            var driver = new AtomicReference<MachineDriver<String, String>>();
            driver.set(new MachineDriver<>(vertx, new Echo(), TICK, effect -> {
                carriedOut.add(effect);
                if (effect.equals("a.")) {
                    driver.get().feed("b");
                    carriedOut.add("fed b");
                    driver.get().feed("c");
                }
            }));
            driver.get().feed("a");
        });
        assertEquals(List.of("a.", "fed b", "a!", "b.", "b!", "c.", "c!"), carriedOut);
    }

    @Test
    void itTicksAtTheDeadlineAlsoWhenThatComesNearerOrMovesAway() throws Exception {
        BlockingQueue<String> carriedOut = new LinkedBlockingQueue<>();
        onContext(() -> {
            var driver = new MachineDriver<>(vertx, new Echo(), TICK, carriedOut::add);
            driver.feed("wake in ms 3600000");
            driver.feed("wake in ms 1");
            driver.feed("wake in ms 30");
        });
        carriedOut.removeIf(effect -> effect.startsWith("wake"));
        assertEquals("tick.", carriedOut.poll(10, TimeUnit.SECONDS));
    }

    @Test
    void inputsFromOtherThreadsComeOnItsContextInOrder() throws Exception {
        BlockingQueue<String> carriedOut = new LinkedBlockingQueue<>();
        var made = new CompletableFuture<MachineDriver<String, String>>();
        onContext(() -> made.complete(new MachineDriver<>(vertx, new Echo(), TICK, effect -> {
            assertEquals(context, Vertx.currentContext());
            carriedOut.add(effect);
        })));
        made.get().feed("1");
        made.get().feed("2");
        for (String expected : List.of("1.", "1!", "2.", "2!")) {
            assertEquals(expected, carriedOut.poll(10, TimeUnit.SECONDS));
        }
    }

    @Test
    void afterTheStopNothingHappensNotEvenTheRestOfTheEffects() throws Exception {
        var carriedOut = new ArrayList<String>();
        onContext(() -> {
            var driver = new AtomicReference<MachineDriver<String, String>>();
            driver.set(new MachineDriver<>(vertx, new Echo(), TICK, effect -> {
                carriedOut.add(effect);
                driver.get().feed("later");
                driver.get().stop();
            }));
            driver.get().feed("first");
            driver.get().feed("second");
        });
        assertEquals(List.of("first."), carriedOut);
    }

    private void onContext(Runnable task) throws Exception {
        var done = new CompletableFuture<Void>();
        context.runOnContext(_ -> {
            try {
                task.run();
                done.complete(null);
            } catch (Throwable failure) {
                done.completeExceptionally(failure);
            }
        });
        done.get(10, TimeUnit.SECONDS);
    }
}

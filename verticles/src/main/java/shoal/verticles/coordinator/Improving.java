package shoal.verticles.coordinator;

import io.vertx.core.Vertx;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import shoal.codec.base.NodeId;
import shoal.codec.pipeline.Placement;

/**
 * Looks for a better placement than the one that stands: when nodes join or become slow, and now and then, since machines become slow
 * and fast again while nobody comes or goes. One event loop.
 */
final class Improving {
    private static final Logger LOG = LoggerFactory.getLogger(Improving.class);
    private static final long LOOK_AGAIN_MILLIS = 10_000;

    /** A plan for many unlike nodes takes long; looking for better ones takes one of so many parts of the time. */
    private static final long PLANNING_SHARE = 50;

    private final Vertx vertx;
    private final Members members;
    private final Placing placing;
    private final Holdings holdings;
    private final Moves moves;
    private boolean wanted;
    private boolean looksAgain;

    /** A better placement that is being tried, or that could not be had. */
    private @Nullable Placement refused;

    /** What stands, and how it moves. */
    interface Moves {
        /** What stands and may be moved, or null while something else is done or nothing stands. */
        @Nullable Pipeline movable();

        void move(Model cut, List<NodeId> computing, String why);
    }

    Improving(Vertx vertx, Members members, Placing placing, Holdings holdings, Moves moves) {
        this.vertx = vertx;
        this.members = members;
        this.placing = placing;
        this.holdings = holdings;
        this.moves = moves;
    }

    /** Somebody is new, or there again. */
    void joined() {
        refused = null;
        wanted = true;
    }

    /** A pipeline stands. */
    void stands() {
        refused = null;
        lookAgainIn(LOOK_AGAIN_MILLIS);
    }

    /** Looks now, if there is a reason to. */
    void tend() {
        Pipeline through = moves.movable();
        if (wanted && through != null) {
            wanted = false;
            look(through);
        }
    }

    /** A plan that is clearly better than what stands, whatever noise was measured, is taken. */
    void look(Pipeline through) {
        long began = System.nanoTime();
        Model known = Objects.requireNonNull(holdings.model());
        members.refresh()
                .compose(_ -> placing.plan(known, members.working(), placing.sequences(), false, false))
                .onSuccess(planned -> {
                    Placement better = planned.plan().placement();
                    if (moves.movable() == through && !better.equals(refused) && planned.isWorthMoving(through)) {
                        refused = better; // unless it works, it is not tried again
                        moves.move(holdings.cutAs(planned), planned.computing(), "that is faster");
                    }
                })
                .onFailure(stays -> LOG.debug("no better placement: {}", stays.getMessage()))
                .onComplete(_ -> lookAgainIn(PLANNING_SHARE * (System.nanoTime() - began) / 1_000_000));
    }

    private void lookAgainIn(long millis) {
        if (looksAgain) {
            return;
        }
        looksAgain = true;
        vertx.setTimer(Math.max(LOOK_AGAIN_MILLIS, millis), _ -> {
            looksAgain = false;
            wanted = true;
            tend();
            if (wanted) {
                lookAgainIn(LOOK_AGAIN_MILLIS);
            }
        });
    }
}

package shoal.codec.pipeline;

import java.util.Arrays;
import java.util.Comparator;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/**
 * Which nodes compute which parts of a model, and in which order a token passes them, by dynamic programming over (nodes used, last
 * of them, parts done). Each node computes one range of parts; the first may also compute the last ones. Nodes and parts are numbers
 * here, and the coordinator is the number behind the last node.
 *
 * <p>With few nodes the answer is exact. With many, nodes are taken in a few fixed orders, and it is exact for each of these.
 */
final class RouteSearch {
    /** Steps of one pass, of which a search takes some forty; an answer comes within a second. */
    private static final double MAX_STEPS = 4e6;

    private static final double MAX_RETURN_STEPS = 2e6;
    private static final int MAX_MASK_NODES = 16;
    private static final int PASSES = 48;
    private static final long NONE = Long.MAX_VALUE;

    private final int nodes;
    private final int parts;
    private final long[][] nanos;
    private final long[][] held;
    private final long[] bytes;
    private final long[] memory;
    private final long[][] links;
    private final int[] twin;
    private final boolean exact;
    private final boolean exactReturns;

    /** What comes first: time, or bytes that need not be fetched. */
    private boolean keep;

    private int must = -1;
    private int barredNode = -1;

    /**
     * A way through the model.
     *
     * @param owners for each part its node
     * @param total nanoseconds from token to token, with all ways
     * @param slowest nanoseconds of the busiest node
     * @param missing bytes that nodes have to fetch
     */
    record Route(int[] owners, long total, long slowest, long missing) {}

    /**
     * @param nanos per node and part
     * @param held per node and part, bytes that the node has already
     * @param bytes per part
     * @param memory per node
     * @param links one way, from and to; one row and column more than nodes, for the coordinator
     */
    RouteSearch(long[][] nanos, long[][] held, long[] bytes, long[] memory, long[][] links) {
        nodes = memory.length;
        parts = bytes.length;
        this.nanos = sums(nanos);
        this.held = sums(held);
        this.bytes = sums(bytes);
        this.memory = memory;
        this.links = links;
        twin = twins();
        double steps =
                nodes > MAX_MASK_NODES ? Double.MAX_VALUE : Math.scalb(1.0, nodes) * nodes * nodes * parts * parts / 2;
        exact = steps <= MAX_STEPS;
        exactReturns = steps * nodes * parts <= MAX_RETURN_STEPS;
    }

    /** Whether nothing is left untried. */
    boolean isExact() {
        return exact && (exactReturns || nodes == 1);
    }

    /** Routes must use this node; -1 for any. */
    RouteSearch through(int node) {
        must = node;
        return this;
    }

    /** Routes must not use this node. */
    RouteSearch without(int node) {
        barredNode = node;
        return this;
    }

    /**
     * The best route: first of all the largest of (sequences × slowest, total) is as small as can be, then the total, then what is
     * missing. With sequences 0 the slowest alone comes first. Null if the nodes can't hold the parts.
     *
     * @param keep what is missing comes before everything else
     */
    @Nullable Route best(int sequences, boolean keep) {
        this.keep = keep;
        Route any = within(NONE);
        if (any == null || sequences == 1 && !keep) {
            return any;
        }
        long missing = keep ? any.missing() : NONE;
        Route best = any;
        long low = 0;
        long high = any.slowest();
        for (int pass = 0; pass < PASSES && low < high; pass++) {
            long limit = low + (high - low) / 2;
            Route found = within(limit);
            if (found != null && keep && found.missing() > missing) {
                found = null;
            }
            if (found != null && order(sequences).compare(found, best) < 0) {
                best = found;
            }
            if (found != null && (sequences == 0 || found.total() <= sequences * (double) limit)) {
                high = Math.min(limit, found.slowest()); // nothing above is better
            } else {
                low = limit + 1;
            }
        }
        Route last = within(sequences == 0 ? best.slowest() : score(best, sequences) / sequences);
        return last == null
                        || keep && last.missing() > missing
                        || order(sequences).compare(best, last) <= 0
                ? best
                : last;
    }

    private static long score(Route route, int sequences) {
        return sequences == 0 ? route.slowest() : Math.max(sequences * route.slowest(), route.total());
    }

    private static Comparator<Route> order(int sequences) {
        return Comparator.comparingLong((Route route) -> score(route, sequences))
                .thenComparingLong(Route::total)
                .thenComparingLong(Route::missing);
    }

    /** The route with the least total in which no node is busy for longer than the limit. */
    private @Nullable Route within(long limit) {
        if (!exact) {
            return better(alongOrders(limit), null);
        }
        Route plain = overSets(limit, -1, 0);
        if (exactReturns) {
            for (int first = 0; first < nodes; first++) {
                for (int end = 1; end < parts - 1; end++) {
                    if (fits(first, 0, end, limit) && mayFollow(0, first)) {
                        plain = better(overSets(limit, first, end), plain);
                    }
                }
            }
        }
        return plain;
    }

    private @Nullable Route better(@Nullable Route a, @Nullable Route b) {
        if (a == null || b == null) {
            return a == null ? b : a;
        }
        int byTotal = Long.compare(a.total(), b.total());
        int byMissing = Long.compare(a.missing(), b.missing());
        return (keep ? (byMissing != 0 ? byMissing : byTotal) : (byTotal != 0 ? byTotal : byMissing)) <= 0 ? a : b;
    }

    private boolean fits(int node, int from, int to, long limit) {
        return node != barredNode
                && nanos[node][to] - nanos[node][from] <= limit
                && bytes[to] - bytes[from] <= memory[node];
    }

    private long missing(int node, int from, int to) {
        return bytes[to] - bytes[from] - (held[node][to] - held[node][from]);
    }

    // ---------------------------------------------------------------------------------------- few nodes

    /**
     * Over sets of nodes. With returnTo ≥ 0 the first node is that one, with the parts before firstEnd, and it also computes the last
     * parts; routes that end elsewhere are those of returnTo -1.
     */
    private @Nullable Route overSets(long limit, int returnTo, int firstEnd) {
        int states = (1 << nodes) * nodes * (parts + 1);
        var total = new long[states];
        var missing = new long[states];
        var from = new int[states];
        Arrays.fill(total, NONE);
        for (int node = 0; node < nodes; node++) {
            if (returnTo >= 0 && node != returnTo || !mayFollow(0, node)) {
                continue;
            }
            for (int end = 1; end <= parts && fits(node, 0, end, limit); end++) {
                if (returnTo < 0 || end == firstEnd) {
                    int state = state(1 << node, node, end);
                    total[state] = links[nodes][node] + nanos[node][end];
                    missing[state] = missing(node, 0, end);
                    from[state] = -1;
                }
            }
        }
        for (int set = 1; set < 1 << nodes; set++) {
            for (int last = 0; last < nodes; last++) {
                if ((set & 1 << last) == 0) {
                    continue;
                }
                for (int done = 1; done < parts; done++) {
                    int state = state(set, last, done);
                    if (total[state] != NONE) {
                        extend(limit, set, last, done, total, missing, from);
                    }
                }
            }
        }
        return returnTo < 0 ? closed(total, missing, from) : returned(limit, returnTo, firstEnd, total, missing, from);
    }

    private void extend(long limit, int set, int last, int done, long[] total, long[] missing, int[] from) {
        int state = state(set, last, done);
        for (int next = 0; next < nodes; next++) {
            if ((set & 1 << next) != 0 || !mayFollow(set, next)) {
                continue;
            }
            long base = total[state] + links[last][next];
            for (int end = done + 1; end <= parts && fits(next, done, end, limit); end++) {
                int reached = state(set | 1 << next, next, end);
                long time = base + nanos[next][end] - nanos[next][done];
                long fetched = missing[state] + missing(next, done, end);
                if (total[reached] == NONE || isLess(time, fetched, total[reached], missing[reached])) {
                    total[reached] = time;
                    missing[reached] = fetched;
                    from[reached] = state;
                }
            }
        }
    }

    private boolean isLess(long time, long fetched, long otherTime, long otherFetched) {
        return keep
                ? fetched < otherFetched || fetched == otherFetched && time < otherTime
                : time < otherTime || time == otherTime && fetched < otherFetched;
    }

    /** Of nodes that are equal in everything the one with the lower number comes first. */
    private boolean mayFollow(int set, int node) {
        return twin[node] < 0 || twin[node] == barredNode || node == must || (set & 1 << twin[node]) != 0;
    }

    private @Nullable Route closed(long[] total, long[] missing, int[] from) {
        int best = -1;
        long bestTime = NONE;
        for (int set = 1; set < 1 << nodes; set++) {
            if (must >= 0 && (set & 1 << must) == 0) {
                continue;
            }
            for (int last = 0; last < nodes; last++) {
                int state = state(set, last, parts);
                if (total[state] == NONE) {
                    continue;
                }
                long time = total[state] + links[last][nodes];
                if (best < 0 || isLess(time, missing[state], bestTime, missing[best])) {
                    best = state;
                    bestTime = time;
                }
            }
        }
        return best < 0 ? null : route(owners(best, from), bestTime, missing[best]);
    }

    private @Nullable Route returned(long limit, int first, int firstEnd, long[] total, long[] missing, int[] from) {
        int best = -1;
        long bestTime = NONE;
        long bestMissing = NONE;
        for (int set = 1; set < 1 << nodes; set++) {
            if (must >= 0 && (set & 1 << must) == 0) {
                continue;
            }
            for (int last = 0; last < nodes; last++) {
                for (int done = firstEnd + 1; last != first && done < parts; done++) {
                    int state = state(set, last, done);
                    long busy = nanos[first][firstEnd] + nanos[first][parts] - nanos[first][done];
                    long stored = bytes[firstEnd] + bytes[parts] - bytes[done];
                    if (total[state] == NONE || busy > limit || stored > memory[first]) {
                        continue;
                    }
                    long time = total[state]
                            + links[last][first]
                            + nanos[first][parts]
                            - nanos[first][done]
                            + links[first][nodes];
                    long fetched = missing[state] + missing(first, done, parts);
                    if (best < 0 || isLess(time, fetched, bestTime, bestMissing)) {
                        best = state;
                        bestTime = time;
                        bestMissing = fetched;
                    }
                }
            }
        }
        if (best < 0) {
            return null;
        }
        int[] owners = owners(best, from);
        for (int part = best % (parts + 1); part < parts; part++) {
            owners[part] = first;
        }
        return route(owners, bestTime, bestMissing);
    }

    private int state(int set, int last, int done) {
        return (set * nodes + last) * (parts + 1) + done;
    }

    private int[] owners(int end, int[] from) {
        var owners = new int[parts];
        int state = end;
        while (state >= 0) {
            int before = from[state];
            int node = state / (parts + 1) % nodes;
            for (int part = before < 0 ? 0 : before % (parts + 1); part < state % (parts + 1); part++) {
                owners[part] = node;
            }
            state = before;
        }
        return owners;
    }

    private Route route(int[] owners, long total, long missing) {
        var busy = new long[nodes];
        for (int part = 0; part < parts; part++) {
            busy[owners[part]] += nanos[owners[part]][part + 1] - nanos[owners[part]][part];
        }
        return new Route(owners, total, Arrays.stream(busy).max().orElse(0), missing);
    }

    // --------------------------------------------------------------------------------------- many nodes

    private @Nullable Route alongOrders(long limit) {
        Route best = null;
        for (int[] order : orders()) {
            best = better(along(order, limit), best);
        }
        return best;
    }

    /** From the coordinator to the nearest, and on to the nearest; the fastest first; the largest first; and as they come. */
    private int[][] orders() {
        var near = new int[nodes];
        var taken = new boolean[nodes];
        int at = nodes;
        for (int i = 0; i < nodes; i++) {
            int nearest = -1;
            for (int node = 0; node < nodes; node++) {
                if (!taken[node]
                        && (nearest < 0
                                || links[at][node] < links[at][nearest]
                                || links[at][node] == links[at][nearest]
                                        && nanos[node][parts] < nanos[nearest][parts])) {
                    nearest = node;
                }
            }
            near[i] = nearest;
            taken[nearest] = true;
            at = nearest;
        }
        return new int[][] {
            near,
            sorted(Comparator.comparingLong(node -> nanos[node][parts])),
            sorted(Comparator.comparingLong(node -> -memory[node])),
            IntStream.range(0, nodes).toArray()
        };
    }

    private int[] sorted(Comparator<Integer> by) {
        return IntStream.range(0, nodes)
                .boxed()
                .sorted(by)
                .mapToInt(Integer::intValue)
                .toArray();
    }

    /** Nodes in this order, some left out. States: place of the last node, parts done, whether {@link #must} was used. */
    private @Nullable Route along(int[] order, long limit) {
        int states = nodes * (parts + 1) * 2;
        var total = new long[states];
        var missing = new long[states];
        var from = new int[states];
        Arrays.fill(total, NONE);
        for (int place = 0; place < nodes; place++) {
            int node = order[place];
            for (int end = 1; end <= parts && fits(node, 0, end, limit); end++) {
                reach(
                        total,
                        missing,
                        from,
                        (place * (parts + 1) + end) * 2 + (node == must ? 1 : 0),
                        links[nodes][node] + nanos[node][end],
                        missing(node, 0, end),
                        -1);
            }
            for (int done = 1; done < parts; done++) {
                for (int used = 0; used < 2; used++) {
                    int state = (place * (parts + 1) + done) * 2 + used;
                    if (total[state] == NONE) {
                        continue;
                    }
                    for (int later = place + 1; later < nodes; later++) {
                        int next = order[later];
                        long base = total[state] + links[node][next];
                        int flag = used | (next == must ? 1 : 0);
                        for (int end = done + 1; end <= parts && fits(next, done, end, limit); end++) {
                            reach(
                                    total,
                                    missing,
                                    from,
                                    (later * (parts + 1) + end) * 2 + flag,
                                    base + nanos[next][end] - nanos[next][done],
                                    missing[state] + missing(next, done, end),
                                    state);
                        }
                    }
                }
            }
        }
        int best = -1;
        long bestTime = NONE;
        for (int place = 0; place < nodes; place++) {
            for (int used = must < 0 ? 0 : 1; used < 2; used++) {
                int state = (place * (parts + 1) + parts) * 2 + used;
                long time = total[state] == NONE ? NONE : total[state] + links[order[place]][nodes];
                if (time != NONE && (best < 0 || isLess(time, missing[state], bestTime, missing[best]))) {
                    best = state;
                    bestTime = time;
                }
            }
        }
        if (best < 0) {
            return null;
        }
        var owners = new int[parts];
        for (int state = best; state >= 0; state = from[state]) {
            int before = from[state];
            int end = state / 2 % (parts + 1);
            Arrays.fill(owners, before < 0 ? 0 : before / 2 % (parts + 1), end, order[state / 2 / (parts + 1)]);
        }
        return route(owners, bestTime, missing[best]);
    }

    private void reach(long[] total, long[] missing, int[] from, int state, long time, long fetched, int before) {
        if (total[state] == NONE || isLess(time, fetched, total[state], missing[state])) {
            total[state] = time;
            missing[state] = fetched;
            from[state] = before;
        }
    }

    // ------------------------------------------------------------------------------------------- set-up

    private static long[][] sums(long[][] rows) {
        return Arrays.stream(rows).map(RouteSearch::sums).toArray(long[][]::new);
    }

    private static long[] sums(long[] values) {
        var sums = new long[values.length + 1];
        for (int i = 0; i < values.length; i++) {
            sums[i + 1] = sums[i] + values[i];
        }
        return sums;
    }

    /** For each node the nearest one before it that is equal in everything, or -1. */
    private int[] twins() {
        var twins = new int[nodes];
        Arrays.fill(twins, -1);
        for (int node = 0; node < nodes; node++) {
            for (int other = 0; other < node; other++) {
                if (memory[node] == memory[other]
                        && Arrays.equals(nanos[node], nanos[other])
                        && Arrays.equals(held[node], held[other])
                        && hasLinksOf(node, other)) {
                    twins[node] = other;
                }
            }
        }
        return twins;
    }

    private boolean hasLinksOf(int node, int other) {
        for (int third = 0; third <= nodes; third++) {
            if (third != node
                    && third != other
                    && (links[node][third] != links[other][third] || links[third][node] != links[third][other])) {
                return false;
            }
        }
        return links[node][other] == links[other][node];
    }
}

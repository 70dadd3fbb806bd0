package shoal.codec.swarm.world;

import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import shoal.codec.swarm.Download;

/**
 * Many cold nodes and one origin: they come within two seconds, know a dozen others each, one in ten lies, one in ten leaves in
 * the middle, one datagram in fifty is lost.
 */
public final class Crowd {
    private static final int ACQUAINTANCES = 12;
    private static final long LIMIT_NANOS = 3600 * SwarmWorld.SECOND;

    private Crowd() {}

    /**
     * What came of it.
     *
     * @param whole whether all who stayed are whole and right
     * @param seconds until the last of them was
     * @param originCopies what the origin sent, in sizes of the file
     * @param duplicateShare of all bytes that honest nodes received
     * @param fairness Jain's index of the rates of those who stayed: 1 if all are alike, 1/n if one has all
     */
    public record Outcome(boolean whole, double seconds, double originCopies, double duplicateShare, double fairness) {}

    /** @param size of the file, in bytes */
    public static Outcome run(long seed, int peers, long size, int pieceBytes) {
        SwarmWorld world = new SwarmWorld(seed, size, pieceBytes).delays(1, 80).losing(0.02);
        SwarmWorld.Node origin = world.origin(20).superSeeding();
        List<SwarmWorld.Node> here = new ArrayList<>();
        List<SwarmWorld.Node> staying = new ArrayList<>();
        List<Long> came = new ArrayList<>();
        for (int i = 0; i < peers; i++) {
            boolean liar = i % 10 == 3;
            SwarmWorld.Node node = liar ? world.bad(SwarmWorld.Nature.LIAR, 5) : world.downloader(5);
            long comes = world.random.nextLong(2 * SwarmWorld.SECOND);
            world.at(comes, () -> {
                if (!liar) {
                    node.start();
                }
                node.connect(origin);
                Set<SwarmWorld.Node> acquaintances = new LinkedHashSet<>();
                for (int k = 0; k < ACQUAINTANCES && !here.isEmpty(); k++) {
                    acquaintances.add(here.get(world.random.nextInt(here.size())));
                }
                acquaintances.forEach(node::connect);
                here.add(node);
            });
            if (i % 10 == 7) {
                world.at(comes + world.random.nextLong(SwarmWorld.SECOND), node::goAway);
            } else if (!liar) {
                staying.add(node);
                came.add(comes);
            }
        }
        int[] left = {0};
        boolean done = world.runUntil(
                () -> {
                    while (left[0] < staying.size() && staying.get(left[0]).finished()) {
                        left[0]++;
                    }
                    return left[0] == staying.size();
                },
                LIMIT_NANOS);
        double sum = 0;
        double squares = 0;
        double duplicate = 0;
        double received = 0;
        boolean right = done;
        for (int i = 0; i < staying.size(); i++) {
            SwarmWorld.Node node = staying.get(i);
            right &= node.blocks.equals(world.truth);
            double rate = node.finished() ? 1e9 / (node.doneNanos - came.get(i)) : 0;
            sum += rate;
            squares += rate * rate;
            Download.Totals totals = Objects.requireNonNull(node.download).totals();
            duplicate += totals.duplicate();
            received += node.receivedBytes;
        }
        return new Outcome(
                right,
                world.now / 1e9,
                origin.sentBytes / (double) size,
                duplicate / received,
                sum * sum / (staying.size() * squares));
    }
}

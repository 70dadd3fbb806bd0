package shoal.bench.scale;

import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import shoal.bench.report.BenchCommand;
import shoal.bench.report.Machine;
import shoal.bench.report.Report;
import shoal.codec.swarm.world.Crowd;

/** A thousand nodes that are all cold, in virtual time: does everybody get the file, and what does it cost whom? */
@Command(
        name = "swarm",
        description =
                "Simulate a swarm with churn, loss and liars: time until all are whole, copies that the origin sent, duplicates,"
                        + " fairness (Jain's index of the rates).")
public final class SwarmCommand extends BenchCommand {
    @Option(names = "--peers", paramLabel = "N", defaultValue = "1000", description = "Default ${DEFAULT-VALUE}.")
    private int peers;

    @Option(
            names = "--mib",
            paramLabel = "N",
            defaultValue = "16",
            description = "Size of the file; default ${DEFAULT-VALUE}.")
    private int mebibytes;

    @Option(names = "--seed", paramLabel = "N", defaultValue = "1", description = "Default ${DEFAULT-VALUE}.")
    private long seed;

    @Override
    protected Report measure() {
        if (peers < 1 || peers > 100_000 || mebibytes < 1 || mebibytes > 1024) {
            throw new IllegalArgumentException(
                    "--peers is " + peers + " and --mib " + mebibytes + ", allowed are 1..100000 and 1..1024.");
        }
        Crowd.Outcome outcome = Crowd.run(seed, peers, (long) mebibytes << 20, 64 * 1024);
        Report report = new Report("swarm", Machine.measured())
                .setting("peers", peers)
                .setting("MiB", mebibytes)
                .setting("seed", seed)
                .row(
                        "virtual seconds until all are whole",
                        outcome.seconds(),
                        "origin's copies",
                        outcome.originCopies(),
                        "duplicate share",
                        outcome.duplicateShare(),
                        "fairness",
                        outcome.fairness());
        if (!outcome.whole()) {
            report.fail("not everybody who stayed has the whole file");
        }
        return report;
    }
}

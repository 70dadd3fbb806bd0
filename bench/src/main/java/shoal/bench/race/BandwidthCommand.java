package shoal.bench.race;

import picocli.CommandLine.Command;
import shoal.bench.report.BenchCommand;
import shoal.bench.report.Machine;
import shoal.bench.report.Report;

/** What the memory allows: the bound of every token. */
@Command(name = "memory", description = "How fast this machine reads memory, by one thread and by one a core.")
public final class BandwidthCommand extends BenchCommand {
    @Override
    protected Report measure() {
        Machine machine = Machine.measured();
        return new Report("memory", machine)
                .row("threads", 1, "GB/s", machine.readBytesPerSecond() / 1e9)
                .row("threads", machine.cores(), "GB/s", machine.readBytesPerSecondAllCores() / 1e9)
                .ratio("all cores over one", machine.readBytesPerSecondAllCores() / machine.readBytesPerSecond());
    }
}

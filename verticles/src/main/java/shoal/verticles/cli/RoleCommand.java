package shoal.verticles.cli;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import shoal.codec.wire.Role;
import shoal.verticles.config.Profile;
import shoal.verticles.config.ProfileException;
import shoal.verticles.config.ProfileReader;
import shoal.verticles.launcher.RoleProcess;

/** Runs this machine in one role until it is told to end. Options are short names for keys of the profile. */
abstract class RoleCommand implements Callable<Integer> {
    private final Role role;

    @Option(names = "--config", paramLabel = "FILE", description = "A profile; samples lie in config/.")
    private @Nullable Path config;

    @Option(names = "--set", paramLabel = "KEY=VALUE", description = "Override any key of the profile.")
    private List<String> assignments = List.of();

    @Option(names = "--listen-addr", paramLabel = "HOST", description = "quic.host: address to listen on.")
    private @Nullable String listenAddress;

    @Option(names = "--port", paramLabel = "N", description = "quic.port: UDP port, 0 for any free one.")
    private @Nullable String port;

    @Option(
            names = "--advertise-addr",
            paramLabel = "HOST[:PORT]",
            description = "quic.advertise: where others reach this machine.")
    private List<String> advertise = List.of();

    @Option(
            names = "--bootstrap",
            paramLabel = "ADDRESS",
            description = "bootstrap: host:port, or a multiaddr whose port is read as QUIC's.")
    private List<String> bootstrap = List.of();

    @Option(names = "--cluster", paramLabel = "NAME", description = "cluster.name")
    private @Nullable String cluster;

    @Option(names = "--transport", paramLabel = "quic", description = "The transport; there is only quic.")
    private @Nullable String transport;

    @Option(names = "--events", hidden = true)
    private boolean events;

    @Option(names = "--exit-with-stdin", hidden = true)
    private boolean exitWithStandardInput;

    RoleCommand(Role role) {
        this.role = role;
    }

    /** More options of the role. */
    void apply(ProfileReader reader) {}

    @Override
    public Integer call() throws IOException, InterruptedException {
        if (transport != null && !transport.equals("quic")) {
            throw new ProfileException("--transport is '" + transport + "', allowed is quic.");
        }
        Profile profile = profile();
        if (profile.role() != null && !profile.role().equals(role.text())) {
            throw new ProfileException("the profile's role is " + profile.role() + ", the command is " + role.text()
                    + ". Use one of them for both.");
        }
        if (System.getProperty(Main.LEVEL_SET) == null) {
            Main.logLevel(profile.log().level());
        }
        new RoleProcess(profile, role, "shoal " + ShoalCommand.Version.number(), events).run(exitWithStandardInput);
        return CommandLine.ExitCode.OK;
    }

    private Profile profile() {
        var reader = new ProfileReader();
        if (config != null) {
            reader.file(config);
        }
        option(reader, "--listen-addr", "quic.host", listenAddress);
        if (port != null) {
            reader.option("--port", "quic.port", number("--port", port));
        }
        if (!advertise.isEmpty()) {
            reader.option("--advertise-addr", "quic.advertise", advertise);
        }
        if (!bootstrap.isEmpty()) {
            reader.option("--bootstrap", "bootstrap", bootstrap);
        }
        option(reader, "--cluster", "cluster.name", cluster);
        apply(reader);
        assignments.forEach(reader::set);
        return reader.read();
    }

    static void option(ProfileReader reader, String option, String key, @Nullable Object value) {
        if (value != null) {
            reader.option(option, key, value);
        }
    }

    static int number(String option, String value) {
        try {
            return Integer.parseInt(value);
        } catch (NumberFormatException notANumber) {
            throw new ProfileException(option + " is '" + value + "', which is no whole number.");
        }
    }

    /** {@code shoal rendezvous} */
    @Command(
            name = "rendezvous",
            description = "Be the address that others know first, and seed a directory of shards.",
            mixinStandardHelpOptions = true)
    static final class Rendezvous extends RoleCommand {
        @Option(names = "--seed-dir", paramLabel = "DIR", description = "store.seedDirectory: files to seed.")
        private @Nullable String seedDirectory;

        Rendezvous() {
            super(Role.RENDEZVOUS);
        }

        @Override
        void apply(ProfileReader reader) {
            option(reader, "--seed-dir", "store.seedDirectory", seedDirectory);
        }
    }

    /** {@code shoal node} */
    @Command(
            name = "node",
            description = "Fetch shards, seed them, and run their layers.",
            mixinStandardHelpOptions = true)
    static final class Node extends RoleCommand {
        @Option(names = "--shard-id", paramLabel = "N", description = "shard.id: pin this node to a shard.")
        private @Nullable String shardId;

        @Option(names = "--total-shards", paramLabel = "N", description = "shard.total: how many shards there are.")
        private @Nullable String totalShards;

        @Option(
                names = "--shards-dir",
                paramLabel = "DIR",
                description = "store.shardsDirectory: where finished shards lie.")
        private @Nullable String shardsDirectory;

        @Option(
                names = "--device",
                paramLabel = "NAME",
                description = "compute.device: auto, cpu, or one that doctor lists, such as opencl:0.")
        private @Nullable String device;

        @Option(
                names = "--device-layers",
                paramLabel = "N",
                description = "How many of a stage's layers devices take, the CPU the rest; auto for as many as fit.")
        private @Nullable String deviceLayers;

        @Option(names = "--threads", paramLabel = "N", description = "compute.threads: 0 for one a core.")
        private @Nullable String threads;

        @Option(
                names = "--max-memory",
                paramLabel = "BYTES",
                description = "compute.memoryBytes: most that layers and KV cache may take, such as 6G.")
        private @Nullable String maxMemory;

        @Option(names = "--enable-torrent", description = "torrent.enabled: fetch missing shards from peers.")
        private boolean enableTorrent;

        @Option(
                names = "--look-in",
                paramLabel = "DIR",
                arity = "1..*",
                description = "store.lookIn: directories whose GGUF files are used before anything is fetched.")
        private List<String> lookIn = List.of();

        @Option(
                names = "--web-seed",
                paramLabel = "URL",
                arity = "1..*",
                description = "torrent.webSeeds: web servers to fetch from as a last resort.")
        private List<String> webSeeds = List.of();

        Node() {
            super(Role.NODE);
        }

        @Override
        void apply(ProfileReader reader) {
            if (shardId != null) {
                reader.option("--shard-id", "shard.id", number("--shard-id", shardId));
            }
            if (totalShards != null) {
                reader.option("--total-shards", "shard.total", number("--total-shards", totalShards));
            }
            option(reader, "--shards-dir", "store.shardsDirectory", shardsDirectory);
            option(reader, "--device", "compute.device", device);
            option(reader, "--device-layers", "compute.deviceLayers", deviceLayers);
            if (threads != null) {
                reader.option("--threads", "compute.threads", number("--threads", threads));
            }
            if (maxMemory != null) {
                reader.option("--max-memory", "compute.memoryBytes", MemoryOptions.bytes("--max-memory", maxMemory));
            }
            if (enableTorrent) {
                reader.option("--enable-torrent", "torrent.enabled", true);
            }
            if (!lookIn.isEmpty()) {
                reader.option("--look-in", "store.lookIn", lookIn);
            }
            if (!webSeeds.isEmpty()) {
                reader.option("--web-seed", "torrent.webSeeds", webSeeds);
            }
        }
    }

    /** {@code shoal coordinator} */
    @Command(
            name = "coordinator",
            description = "Give layers to nodes, and generate text through them.",
            mixinStandardHelpOptions = true)
    static final class Coordinator extends RoleCommand {
        @Option(
                names = "--model",
                paramLabel = "NAME",
                description = "coordinator.model: which model of the bootstrap's.")
        private @Nullable String model;

        @Option(
                names = "--standby",
                description =
                        "coordinator.standby: while another coordinator works for the model, stand by; take over when it is lost.")
        private boolean standby;

        Coordinator() {
            super(Role.COORDINATOR);
        }

        @Override
        void apply(ProfileReader reader) {
            option(reader, "--model", "coordinator.model", model);
            if (standby) {
                reader.option("--standby", "coordinator.standby", true);
            }
        }
    }
}

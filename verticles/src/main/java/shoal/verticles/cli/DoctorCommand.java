package shoal.verticles.cli;

import java.io.IOException;
import java.io.InputStream;
import java.net.DatagramSocket;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.SocketException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import shoal.bridge.hash.BlockHashers;
import shoal.bridge.kernel.DeviceInfo;
import shoal.bridge.kernel.KernelChoice;
import shoal.bridge.kernel.KernelProvider;
import shoal.bridge.kernel.KernelSettings;
import shoal.verticles.config.Profile;
import shoal.verticles.config.ProfileReader;
import shoal.verticles.inferencestage.StageHost;
import shoal.verticles.quic.NativeQuic;
import tools.jackson.databind.json.JsonMapper;

/** Says what this machine has of what a node needs, and what to do about what is missing. */
@Command(
        name = "doctor",
        description = "Say whether a node can run on this machine, and what would make it faster.",
        mixinStandardHelpOptions = true)
final class DoctorCommand implements Callable<Integer> {
    /** What {@code models/README.md} beside the bundled model states. */
    static final String BUNDLED_SHA256 = "9b72543c64621c8522af79905b72d0222b41e73286ba440add23572dd51be10d";

    private static final String BUNDLED_MODEL = "/models/stories-q8_0.gguf";
    private static final int JAVA_NEEDED = 25;
    private static final long MEMORY_NEEDED = 512L << 20;
    private static final long DISK_NEEDED = 64L << 20;
    private static final int BUFFER_BYTES = 1 << 16;

    @Option(names = "--config", paramLabel = "FILE", description = "Look at this profile's directory and ports.")
    private @Nullable Path config;

    @Option(names = "--set", paramLabel = "KEY=VALUE", description = "Override any key of the profile.")
    private List<String> assignments = List.of();

    @Option(names = "--json", description = "Print one JSON object.")
    private boolean json;

    private final List<Finding> findings = new ArrayList<>();
    private final List<Map<String, Object>> devices = new ArrayList<>();

    /** How it stands with one thing. */
    private enum Verdict {
        OK,
        /** Worth knowing; a node runs all the same. */
        NOTE,
        /** No node can run. */
        MISSING
    }

    private record Finding(
            String what,
            Verdict verdict,
            String found,
            @Nullable String remedy) {}

    @Override
    public Integer call() throws IOException {
        var reader = new ProfileReader();
        if (config != null) {
            reader.file(config);
        }
        assignments.forEach(reader::set);
        Profile profile = reader.read();
        java();
        kernels();
        devices();
        hashing();
        quic();
        cores();
        memory();
        disk(profile.store().directoryPath());
        quicPort(profile.quic());
        busPort(profile.cluster());
        ipv6();
        model();
        boolean runs = findings.stream().noneMatch(finding -> finding.verdict() == Verdict.MISSING);
        if (json) {
            System.out.println(JsonMapper.shared().writeValueAsString(report(runs)));
        } else {
            findings.forEach(DoctorCommand::print);
            System.out.println(runs ? "A node can run here." : "A node cannot run here yet: mend what is missing.");
        }
        return runs ? 0 : Main.EXIT_FAILURE;
    }

    private void ok(String what, String found) {
        findings.add(new Finding(what, Verdict.OK, found, null));
    }

    private void not(Verdict verdict, String what, String found, String remedy) {
        findings.add(new Finding(what, verdict, found, remedy));
    }

    private void java() {
        int feature = Runtime.version().feature();
        String found = Runtime.version() + " of " + System.getProperty("java.vendor") + ", "
                + System.getProperty("os.name") + " " + System.getProperty("os.arch");
        if (feature >= JAVA_NEEDED) {
            ok("java", found);
        } else {
            not(Verdict.MISSING, "java", found, "Install JDK " + JAVA_NEEDED + ".");
        }
    }

    private void hashing() {
        BlockHashers.Choice choice = BlockHashers.choice();
        ok(
                "hashing",
                "SHA-256 by " + choice.hasher().name() + ", BLAKE3 by " + BlockHashers.blake3Provider()
                        + (choice.reason().isEmpty() ? "" : " (" + choice.reason() + ")"));
    }

    private void kernels() {
        boolean module = ModuleLayer.boot().findModule("jdk.incubator.vector").isPresent();
        if (module) {
            ok("vector module", "jdk.incubator.vector");
        } else {
            not(
                    Verdict.NOTE,
                    "vector module",
                    "not there, computing is slow",
                    "Start with ./shoal or java -jar shoal.jar from a full JDK; both ask for the module.");
        }
        try {
            var settings = KernelSettings.defaults();
            var choice = KernelChoice.of(settings);
            try (var opened = choice.provider().open(settings)) {
                String found = choice.describe() + ", " + opened.name();
                if (choice.faster().isEmpty()) {
                    ok("kernels", found);
                } else {
                    not(Verdict.NOTE, "kernels", found, String.join(" ", choice.faster()));
                }
            }
        } catch (RuntimeException | LinkageError failure) {
            not(Verdict.MISSING, "kernels", String.valueOf(failure.getMessage()), "Use a full JDK 25.");
        }
    }

    /** What kernels could run on beside the CPU, and whether it would be taken by itself. */
    private void devices() {
        boolean gpu = false;
        for (KernelProvider provider : KernelChoice.deviceProviders()) {
            switch (provider.readiness()) {
                case KernelProvider.Readiness.Missing(String reason, String remedy) ->
                    not(Verdict.NOTE, provider.name(), reason + ", so no device computes through it", remedy);
                case KernelProvider.Readiness.Ready() -> {
                    for (DeviceInfo device : provider.devices()) {
                        gpu |= !device.processor();
                        double copied = KernelChoice.measured(provider, device);
                        var told = new LinkedHashMap<String, Object>();
                        told.put("id", device.id());
                        told.put("name", device.name());
                        told.put("driver", device.driver());
                        told.put("memory_bytes", device.memoryBytes());
                        told.put("bytes_per_second", Math.round(copied));
                        told.put("processor", device.processor());
                        devices.add(told);
                        ok(
                                device.id(),
                                device.name() + ", " + mib(device.memoryBytes()) + ", " + device.driver()
                                        + bandwidth(copied)
                                        + (device.processor()
                                                ? "; a CPU: used only if asked for with --device " + device.id()
                                                : ""));
                    }
                }
            }
        }
        if (gpu) {
            automatic();
        }
    }

    /** What {@code --device auto} leads to, tried now. */
    private void automatic() {
        try {
            KernelChoice.Opened opened = KernelChoice.open(KernelSettings.defaults());
            opened.kernels().close();
            ok("--device auto", opened.provider() + " (" + opened.why() + ")");
        } catch (RuntimeException failure) {
            not(Verdict.NOTE, "--device auto", String.valueOf(failure.getMessage()), "Name a device, or cpu.");
        }
    }

    private static String bandwidth(double bytesPerSecond) {
        return bytesPerSecond == 0
                ? "; it can't be used: try it with --device to see why"
                : String.format(Locale.ROOT, ", copies %.1f GB/s within its memory", bytesPerSecond / 1e9);
    }

    private void quic() {
        String why = NativeQuic.whyUnavailable();
        String brought = "brought for " + String.join(", ", NativeQuic.platforms());
        if (why == null) {
            ok("native QUIC", "loads; " + brought);
        } else {
            not(
                    Verdict.MISSING,
                    "native QUIC",
                    why + "; " + brought,
                    "Use one of these systems, with a temporary directory that programs may be run from.");
        }
    }

    private void cores() {
        ok("cores", Runtime.getRuntime().availableProcessors() + "");
    }

    private void memory() {
        long total = StageHost.machineMemoryBytes();
        if (total >= MEMORY_NEEDED) {
            ok("memory", mib(total));
        } else {
            not(Verdict.MISSING, "memory", mib(total), "A node needs " + mib(MEMORY_NEEDED) + ".");
        }
    }

    private void disk(Path directory) {
        Path at = directory.toAbsolutePath();
        while (!Files.exists(at) && at.getParent() != null) {
            at = at.getParent();
        }
        String remedy = "Choose another with --set store.directory=DIR.";
        try {
            long free = Files.getFileStore(at).getUsableSpace();
            String found = directory + ": " + mib(free) + " free";
            if (!Files.isDirectory(at) || !Files.isWritable(at)) {
                not(Verdict.MISSING, "disk", at + " may not be written", remedy);
            } else if (free < DISK_NEEDED) {
                not(Verdict.MISSING, "disk", found, "Make room. " + remedy);
            } else {
                ok("disk", found);
            }
        } catch (IOException failure) {
            not(Verdict.MISSING, "disk", at + ": " + failure.getMessage(), remedy);
        }
    }

    private void quicPort(Profile.Quic quic) {
        String what = "UDP port " + quic.port();
        try (var socket = new DatagramSocket(new InetSocketAddress(quic.host(), quic.port()))) {
            ok(what, "free on " + quic.host() + (quic.port() == 0 ? ", as " + socket.getLocalPort() : ""));
        } catch (SocketException | IllegalArgumentException taken) {
            not(
                    Verdict.NOTE,
                    what,
                    quic.host() + ": " + taken.getMessage(),
                    "Another Shoal may run here; choose another port with --port, or 0 for any free one.");
        }
    }

    private void busPort(Profile.Cluster cluster) {
        String what = "TCP port " + cluster.port();
        try (var socket = new ServerSocket()) {
            socket.bind(new InetSocketAddress(cluster.host(), cluster.port()));
            ok(what, "free on " + cluster.host());
        } catch (IOException | IllegalArgumentException taken) {
            not(
                    Verdict.NOTE,
                    what,
                    cluster.host() + ": " + taken.getMessage(),
                    "Nothing need be done: the next free port is taken.");
        }
    }

    private void ipv6() {
        try (var socket = new DatagramSocket(new InetSocketAddress(InetAddress.getByName("::1"), 0))) {
            ok("IPv6", "loopback " + socket.getLocalAddress().getHostAddress());
        } catch (IOException none) {
            not(
                    Verdict.NOTE,
                    "IPv6",
                    String.valueOf(none.getMessage()),
                    "IPv4 does all that is needed; turn IPv6 on in the system if you want it.");
        }
    }

    private void model() throws IOException {
        try (InputStream in = DoctorCommand.class.getResourceAsStream(BUNDLED_MODEL)) {
            if (in == null) {
                not(Verdict.NOTE, "bundled model", "not in the jar", "Build the jar again; demo needs --model FILE.");
                return;
            }
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            var buffer = new byte[BUFFER_BYTES];
            for (int n = in.read(buffer); n >= 0; n = in.read(buffer)) {
                digest.update(buffer, 0, n);
            }
            String hash = HexFormat.of().formatHex(digest.digest());
            if (hash.equals(BUNDLED_SHA256)) {
                ok("bundled model", "SHA-256 " + hash);
            } else {
                not(
                        Verdict.NOTE,
                        "bundled model",
                        "SHA-256 " + hash + " is not " + BUNDLED_SHA256,
                        "Build the jar again.");
            }
        } catch (NoSuchAlgorithmException impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    private Map<String, Object> report(boolean runs) {
        var checks = new ArrayList<Map<String, @Nullable Object>>();
        for (Finding finding : findings) {
            var check = new LinkedHashMap<String, @Nullable Object>();
            check.put("what", finding.what());
            check.put("verdict", finding.verdict().name().toLowerCase(Locale.ROOT));
            check.put("found", finding.found());
            check.put("remedy", finding.remedy());
            checks.add(check);
        }
        var report = new LinkedHashMap<String, Object>();
        report.put("node_can_run", runs);
        report.put("checks", checks);
        report.put("devices", devices);
        return report;
    }

    private static void print(Finding finding) {
        System.out.printf(
                "%-8s %-16s %s%s%n",
                finding.verdict().name().toLowerCase(Locale.ROOT),
                finding.what(),
                finding.found(),
                finding.remedy() == null ? "" : ". " + finding.remedy());
    }

    private static String mib(long bytes) {
        return String.format(Locale.ROOT, "%,d MiB", bytes >> 20);
    }
}

package shoal.verticles.config;

import java.net.InetAddress;
import java.net.URI;
import java.net.URISyntaxException;
import java.net.UnknownHostException;
import java.nio.file.Path;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.Endpoint;
import shoal.codec.base.MalformedException;
import shoal.codec.base.NodeId;
import shoal.codec.wire.ActivationType;

/** What one process is and how it behaves. Keys, bounds, defaults and meanings stand in {@code config/schema.json}. */
public record Profile(
        @Nullable String role,
        Quic quic,
        List<String> bootstrap,
        int bootstrapTimeoutSeconds,
        Cluster cluster,
        Store store,
        Torrent torrent,
        Upload upload,
        Download download,
        Push push,
        Shard shard,
        Compute compute,
        Coordinator coordinator,
        Api api,
        Log log) {

    public record Quic(String host, int port, List<String> advertise) {
        public Endpoint bind() {
            return new Endpoint(host, port);
        }

        public boolean isLoopback() {
            return Profile.address("quic.host", host).isLoopbackAddress();
        }

        public boolean isAnyAddress() {
            return Profile.address("quic.host", host).isAnyLocalAddress();
        }

        /** Addresses to tell others; port 0 stands for the bound one. */
        public List<Endpoint> advertised() {
            return advertise.stream().map(Quic::address).toList();
        }

        private static Endpoint address(String text) {
            try {
                return Endpoint.parse(text);
            } catch (MalformedException noPort) {
                try {
                    return new Endpoint(text.startsWith("[") ? text.substring(1, text.length() - 1) : text, 0);
                } catch (IllegalArgumentException noHost) {
                    throw new ProfileException("quic.advertise: " + noPort.getMessage());
                }
            }
        }
    }

    public record Cluster(
            String name,
            String host,
            int port,
            int busPort,
            @Nullable String secretFile,
            int drainSeconds) {
        public boolean isLoopback() {
            return address("cluster.host", host).isLoopbackAddress();
        }

        public boolean isAnyAddress() {
            return address("cluster.host", host).isAnyLocalAddress();
        }
    }

    public record Store(
            String directory,
            @Nullable String shardsDirectory,
            @Nullable String seedDirectory,
            long quotaBytes,
            List<String> lookIn) {
        public Path directoryPath() {
            return Path.of(directory);
        }

        public Path shardsPath() {
            return shardsDirectory == null ? directoryPath().resolve("shards") : Path.of(shardsDirectory);
        }
    }

    public record Torrent(boolean enabled, boolean autoLoad, int stallSeconds, List<String> webSeeds) {
        /** @throws ProfileException for one that is no http or https URL */
        public List<URI> webSeedAddresses() {
            return webSeeds.stream()
                    .map(text -> {
                        try {
                            URI address = new URI(text);
                            if (("http".equals(address.getScheme()) || "https".equals(address.getScheme()))
                                    && address.getHost() != null) {
                                return address;
                            }
                        } catch (URISyntaxException noAddress) {
                            // told below
                        }
                        throw new ProfileException("torrent.webSeeds: '" + text + "' is no http or https URL.");
                    })
                    .toList();
        }
    }

    public record Upload(
            long bytesPerSecond,
            long bytesPerSecondPerPeer,
            String httpHost,
            @Nullable Integer httpPort) {}

    public record Download(long bytesPerSecond, long bytesPerSecondPerPeer, int connections, long memoryBytes) {}

    public record Push(List<String> allow, String namePattern, String nameReplacement) {
        /** Who may push. @throws ProfileException for what is no node id */
        public Set<NodeId> allowed() {
            var allowed = new LinkedHashSet<NodeId>();
            for (String text : allow) {
                try {
                    allowed.add(NodeId.parse(text));
                } catch (MalformedException noId) {
                    throw new ProfileException("push.allow: " + noId.getMessage());
                }
            }
            return allowed;
        }

        /** The name to store a pushed file under. @throws ProfileException if pattern or replacement are wrong */
        public String storedName(String pushed) {
            try {
                var matcher = Pattern.compile(namePattern).matcher(pushed);
                return matcher.matches() ? matcher.replaceFirst(nameReplacement) : pushed;
            } catch (IllegalArgumentException | IndexOutOfBoundsException wrong) {
                throw new ProfileException("push.namePattern and push.nameReplacement: " + wrong.getMessage());
            }
        }
    }

    public record Shard(@Nullable Integer id, @Nullable Integer total) {}

    public record Compute(
            String kernels,
            String device,
            String deviceLayers,
            int threads,
            long memoryBytes,
            int contextLength,
            String cache,
            long replayBytes,
            long copyBytes) {
        public int threadCount() {
            return threads == 0 ? Runtime.getRuntime().availableProcessors() : threads;
        }
    }

    public record Coordinator(
            @Nullable String model,
            int nodes,
            String activations,
            int sequences,
            int queue,
            int placedFor,
            boolean spares,
            boolean standby) {
        public ActivationType activationType() {
            return ActivationType.valueOf(activations.toUpperCase(Locale.ROOT));
        }
    }

    public record Api(
            boolean enabled,
            String host,
            int port,
            @Nullable String keyFile) {
        public boolean isLoopback() {
            return address("api.host", host).isLoopbackAddress();
        }
    }

    public record Log(String level) {}

    private static InetAddress address(String key, String host) {
        try {
            return InetAddress.getByName(host);
        } catch (UnknownHostException unknown) {
            throw new ProfileException(key + " is '" + host + "', which no address belongs to.");
        }
    }

    /** The bootstrap addresses. @throws ProfileException for one that is none */
    public List<Endpoint> bootstrapEndpoints() {
        return bootstrap.stream()
                .map(text -> {
                    try {
                        return Endpoint.parse(text);
                    } catch (MalformedException malformed) {
                        throw new ProfileException("bootstrap: " + malformed.getMessage());
                    }
                })
                .toList();
    }
}

package shoal.verticles.config;

import java.net.InetAddress;
import java.net.UnknownHostException;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.Endpoint;
import shoal.codec.base.MalformedException;
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
            @Nullable String secretFile) {
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
            @Nullable String seedDirectory) {
        public Path directoryPath() {
            return Path.of(directory);
        }

        public Path shardsPath() {
            return shardsDirectory == null ? directoryPath().resolve("shards") : Path.of(shardsDirectory);
        }
    }

    public record Torrent(boolean enabled, boolean autoLoad, int stallSeconds) {}

    public record Upload(long bytesPerSecond) {}

    public record Shard(@Nullable Integer id, @Nullable Integer total) {}

    public record Compute(String kernels, String device, int threads, long memoryBytes, int contextLength) {
        public int threadCount() {
            return threads == 0 ? Runtime.getRuntime().availableProcessors() : threads;
        }
    }

    public record Coordinator(@Nullable String model, int nodes, String activations) {
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

package shoal.codec.dht;

import java.net.Socket;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.ExecutorService;
import shoal.verticles.bus.CommandBus;

/** Breaks every rule of {@link shoal.HouseTest}, which proves by it that each can fail. Never run. */
public final class TrespasserManager {
    CommandBus crossing;
    org.bouncycastle.cert.X509CertificateHolder certificate;
    io.netty.buffer.ByteBuf netty;
    io.vertx.core.net.QuicClient quic;
    com.hazelcast.config.Config hazelcast;
    jdk.incubator.vector.FloatVector vector;
    io.vertx.ext.web.Router router;
    io.micrometer.core.instrument.Counter counter;
    picocli.CommandLine commandLine;
    org.jline.reader.LineReader lines;
    ch.qos.logback.classic.Level level;
    com.networknt.schema.Schema schema;
    tools.jackson.databind.json.JsonMapper json;
    org.openjdk.jmh.annotations.Mode mode;
    org.slf4j.Logger logger;
    System.Logger anotherLogger;
    ExecutorService threads;
    Path file;
    Socket socket;

    List<Long> clocks() {
        return List.of(System.nanoTime());
    }
}

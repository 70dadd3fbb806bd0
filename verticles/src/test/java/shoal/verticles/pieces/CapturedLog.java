package shoal.verticles.pieces;

import static org.junit.jupiter.api.Assertions.assertTrue;

import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.AppenderBase;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.slf4j.LoggerFactory;

/** What Shoal logs while this is open. */
final class CapturedLog extends AppenderBase<ILoggingEvent> implements AutoCloseable {
    private final Logger shoal = (Logger) LoggerFactory.getLogger("shoal");
    private final BlockingQueue<String> lines = new LinkedBlockingQueue<>();

    CapturedLog() {
        start();
        shoal.addAppender(this);
    }

    @Override
    protected void append(ILoggingEvent event) {
        lines.add(event.getFormattedMessage());
    }

    /** Waits for a line that matches the whole pattern, and gives those before it and it. */
    List<String> awaitLine(String pattern) {
        var seen = new ArrayList<String>();
        try {
            while (true) {
                String line = lines.poll(20, TimeUnit.SECONDS);
                assertTrue(line != null, "no line " + pattern + " in 20 s, only " + seen);
                seen.add(line);
                if (line.matches(pattern)) {
                    return seen;
                }
            }
        } catch (InterruptedException interrupted) {
            throw new IllegalStateException(interrupted);
        }
    }

    @Override
    public void close() {
        shoal.detachAppender(this);
        stop();
    }
}

package shoal.verticles.api;

import io.micrometer.core.instrument.Counter;
import io.micrometer.core.instrument.Timer;
import io.micrometer.prometheusmetrics.PrometheusConfig;
import io.micrometer.prometheusmetrics.PrometheusMeterRegistry;
import java.time.Duration;
import java.util.concurrent.TimeUnit;

/** What is counted of requests and answers. */
final class ApiMetrics {
    private final PrometheusMeterRegistry registry = new PrometheusMeterRegistry(PrometheusConfig.DEFAULT);
    private final Counter promptTokens = registry.counter("shoal.prompt.tokens");
    private final Counter generatedTokens = registry.counter("shoal.generated.tokens");
    private final Timer firstToken = Timer.builder("shoal.first.token")
            .description("From a request to its first token")
            .publishPercentileHistogram()
            .minimumExpectedValue(Duration.ofMillis(10))
            .maximumExpectedValue(Duration.ofMinutes(2))
            .register(registry);
    private int running;

    ApiMetrics() {
        registry.gauge("shoal.generations.running", this, metrics -> metrics.running);
    }

    void begun() {
        running++;
    }

    void over() {
        running--;
    }

    void prompt(int tokens) {
        promptTokens.increment(tokens);
    }

    void token() {
        generatedTokens.increment();
    }

    void first(long micros) {
        firstToken.record(micros, TimeUnit.MICROSECONDS);
    }

    void answered(int status) {
        registry.counter("shoal.requests", "status", String.valueOf(status)).increment();
    }

    String scrape() {
        return registry.scrape();
    }
}

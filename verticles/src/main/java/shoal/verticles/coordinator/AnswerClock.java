package shoal.verticles.coordinator;

/** When the first and the last token came. */
final class AnswerClock {
    private final long begunNanos;
    private long firstNanos;
    private long lastNanos;

    AnswerClock(long begunNanos) {
        this.begunNanos = begunNanos;
    }

    void token() {
        lastNanos = System.nanoTime();
        if (firstNanos == 0) {
            firstNanos = lastNanos;
        }
    }

    long firstMicros() {
        return ((firstNanos == 0 ? System.nanoTime() : firstNanos) - begunNanos) / 1000;
    }

    long totalMicros() {
        return lastNanos == 0 ? firstMicros() : (lastNanos - begunNanos) / 1000;
    }
}

package shoal.bench.gpu;

/** Hears what is found on a device, in the order in which it is. */
interface GpuFindings {
    /** One word or number that holds for all that follows. */
    void setting(String key, Object value);

    /** A row, as key and value in turn. */
    void row(Object... keysAndValues);

    /** @param aim what it is meant to reach, 0 where nothing is promised */
    void ratio(String what, double value, double aim);

    /** A sentence that the reader needs. */
    void note(String sentence);

    /** Something is wrong: the figures are worth nothing. */
    void wrong(String sentence);

    /** What is done now. */
    void progress(String line);
}

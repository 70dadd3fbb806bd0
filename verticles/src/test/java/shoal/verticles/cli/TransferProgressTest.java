package shoal.verticles.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

class TransferProgressTest {
    private static final long GB = 1_000_000_000L;

    @Test
    void aBarTellsNameShareRateAndTimeLeft() {
        assertEquals(
                "model.gguf  42 %    123.5 MB/s 1:05 left     [######----------]",
                TransferProgress.bar("model.gguf", 42, 100, 123.45e6, 65L).strip());
        assertEquals(
                "model.gguf 100 %      0.0 MB/s               [################]",
                TransferProgress.bar("model.gguf", 0, 0, 0, null).strip());
    }

    /** A terminal of 40 columns cuts the rest. */
    @Test
    void whatCountsStandsBeforeTheBar() {
        assertEquals(
                "model-q8_0.gguf   5 %    123.5 MB/s 1:05",
                TransferProgress.bar("model-q8_0.gguf", 5, 100, 123.45e6, 65L).substring(0, 40));
    }

    @Test
    void aBarFillsALineOfEightyColumnsAndNeverBreaksIt() {
        for (String name : new String[] {"a", "qwen3-235b-a22b-instruct-q4_k_m-00003-of-00005.gguf"}) {
            for (long done : new long[] {0, 1, 400 * GB, 999 * GB, 1000 * GB}) {
                for (Long left : new Long[] {null, 0L, 59L, 3_600L, 99 * 3_600L, Long.MAX_VALUE}) {
                    for (double rate : new double[] {0, 1, 12e6, 9.9e9, 1e15}) {
                        String bar = TransferProgress.bar(name, done, 1000 * GB, rate, left);
                        assertEquals(TransferProgress.COLUMNS, bar.length(), bar);
                        assertTrue(bar.contains("]"), bar);
                    }
                }
            }
        }
        assertTrue(TransferProgress.bar("qwen3-235b-a22b-instruct-q4_k_m-00003-of-00005.gguf", 1, 2, 1, 1L)
                .startsWith("qwen3-235b-…f-00005.gguf  50 %      0.0 MB/s 0:01 left     [########--------]"));
    }
}

package shoal.verticles.inferencestage;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import shoal.bridge.kernel.scalar.ScalarOperations;
import shoal.codec.gguf.GgmlType;
import shoal.codec.wire.ActivationType;

class WireRowsTest {
    private static final int COUNT = 3 * 64;

    private static float[] values() {
        var random = new Random(7);
        var values = new float[COUNT];
        for (int i = 0; i < COUNT; i++) {
            values[i] = i / 32 == 2 ? 0 : (float) random.nextGaussian() * (1 + i / 32);
        }
        return values;
    }

    @ParameterizedTest
    @EnumSource(ActivationType.class)
    void comesBackAsNearAsItsTypeAllows(ActivationType type) {
        float[] values = values();
        var rows = new WireRows();
        ByteBuffer sent = rows.encode(type, MemorySegment.ofArray(values), COUNT);
        assertEquals(type.sizeBytes(COUNT), sent.remaining());
        float[] back = rows.decode(type, sent, COUNT).toArray(ValueLayout.JAVA_FLOAT_UNALIGNED);
        for (int i = 0; i < COUNT; i++) {
            float bound = switch (type) {
                case F32 -> 0;
                case F16 -> Math.abs(values[i]) / 2048;
                case Q8_0 -> max(values, i / 32) / 127 * 0.51f + max(values, i / 32) / 2048;
            };
            assertEquals(values[i], back[i], bound, type + " " + i);
        }
        rows.giveBack(sent);
        assertSame(sent, rows.take(8), "memory is used again");
    }

    /** Blocks are those of GGML: the engine's own reader of weights reads them. */
    @Test
    void eightBitsAreWhatWeightsHave() {
        var rows = new WireRows();
        ByteBuffer sent = rows.encode(ActivationType.Q8_0, MemorySegment.ofArray(values()), COUNT);
        float[] read = new float[COUNT];
        ScalarOperations.dequantizer(GgmlType.Q8_0).dequantise(MemorySegment.ofBuffer(sent), 0, COUNT, read, 0);
        float[] back = rows.decode(ActivationType.Q8_0, sent, COUNT).toArray(ValueLayout.JAVA_FLOAT_UNALIGNED);
        for (int i = 0; i < COUNT; i++) {
            assertEquals(read[i], back[i], "value " + i);
        }
        assertTrue(ActivationType.Q8_0.fits(64) && !ActivationType.Q8_0.fits(40));
    }

    private static float max(float[] values, int block) {
        float max = 0;
        for (int i = 0; i < 32; i++) {
            max = Math.max(max, Math.abs(values[block * 32 + i]));
        }
        return max;
    }
}

package shoal.bridge.kernel.scalar;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.DynamicTest.dynamicTest;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;
import shoal.bridge.SharedData;
import shoal.codec.gguf.GgmlType;
import tools.jackson.databind.JsonNode;

/** Blocks become the floats that ggml's to_float makes of them, bit for bit. */
class DequantizerTest {
    @TestFactory
    List<DynamicTest> dequantisesAsGgml() {
        List<DynamicTest> tests = new ArrayList<>();
        for (JsonNode entry : SharedData.json("testdata/quants/dequant.json").get("types")) {
            GgmlType type = GgmlType.fromId(entry.get("ggml_type_id").asInt());
            if (type != null && new ScalarOperations().types().contains(type)) {
                tests.add(dynamicTest(type.name(), () -> check(type, entry.get("blocks"))));
            }
        }
        assertEquals(15, tests.size(), "types with vectors");
        return tests;
    }

    private static void check(GgmlType type, JsonNode blocks) {
        for (JsonNode block : blocks) {
            byte[] bytes = HexFormat.of().parseHex(block.get("hex").asString());
            JsonNode expected = block.get("values");
            float[] values = new float[expected.size()];
            ScalarOperations.dequantizer(type).dequantise(MemorySegment.ofArray(bytes), 0, values.length, values, 0);
            for (int i = 0; i < values.length; i++) {
                // the parser reads -0 as the integer 0: add 0, so that zeros have no sign
                assertEquals(Float.parseFloat(expected.get(i).asString()), values[i] + 0f, type + " value " + i);
            }
        }
    }
}

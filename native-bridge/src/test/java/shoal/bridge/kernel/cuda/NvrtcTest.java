package shoal.bridge.kernel.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.util.List;
import java.util.Locale;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import shoal.bridge.kernel.device.KernelUnit;
import shoal.codec.gguf.GgmlType;

/** NVIDIA's compiler takes all kernels; it needs no GPU for that. Skipped where there is no NVRTC. */
class NvrtcTest {
    private static Nvrtc compiler() {
        Nvrtc found = Nvrtc.find();
        assumeTrue(found != null, "no NVRTC here; SHOAL_NVRTC may name its file");
        return found;
    }

    @Test
    void compilesLayers() {
        String ptx = compiler().ptx(new KernelUnit.Layers(), 90);
        for (String kernel : List.of(
                "rms_norm",
                "attention_f16",
                "attention_q8_0_part",
                "attention_join",
                "store_q8_0",
                "copy_pages",
                "route",
                "pick_stretch",
                "pick_join",
                "quantise")) {
            assertTrue(ptx.contains(".entry " + kernel + "("), kernel);
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"Q8_0", "Q4_K", "Q6_K", "Q5_1", "MXFP4", "F16", "BF16", "F32"})
    void compilesProducts(GgmlType type) {
        for (int architecture : new int[] {75, 90}) {
            String ptx = compiler().ptx(new KernelUnit.Products(type), architecture);
            boolean own = type.blockValues() > 1 && architecture >= 80;
            boolean tensor = type.blockValues() == 1 && type != GgmlType.F32 && architecture >= 80;
            assertTrue(ptx.contains(".target sm_" + architecture), "target");
            assertTrue(ptx.contains(".entry multiply_experts_many("));
            assertEquals(own, ptx.contains(".entry nvidia_many("));
            assertEquals(own, ptx.contains(".s32.s8.s8.s32"));
            for (String kernel : List.of("few", "three", "experts", "many", "round")) {
                assertEquals(tensor, ptx.contains(".entry tensor_" + kernel + "("));
            }
            String half = type.name().toLowerCase(Locale.ROOT);
            assertEquals(tensor, ptx.contains("mma.sync.aligned.m16n8k16.row.col.f32." + half + "." + half + ".f32"));
            assertEquals(tensor, ptx.contains("ldmatrix.sync.aligned.m8n8.x4"));
            assertEquals(architecture >= 80, ptx.contains("cp.async.cg.shared.global"));
            assertEquals(architecture >= 80 && !tensor, ptx.contains(".entry nvidia_one("));
            assertEquals(type.blockValues() > 1, ptx.contains("dp4a.s32.s32"));
        }
    }

    @Test
    void knowsWhatItCompilesFor() {
        Nvrtc nvrtc = compiler();
        assertTrue(nvrtc.architectures().contains(90), nvrtc.architectures().toString());
        assertTrue(nvrtc.version().matches("[0-9]+\\.[0-9]+"), nvrtc.version());
    }
}

package shoal.bridge.library;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.FunctionDescriptor;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;

class NativeLibraryTest {
    /** Built or not: it loads where it is in the classes, and says a reason and a remedy where it isn't. */
    @Test
    void loadsWhereItWasBuilt() {
        boolean built =
                getClass().getResource("/native/" + NativeLibrary.platform() + "/" + System.mapLibraryName("shoal"))
                        != null;
        switch (NativeLibrary.get()) {
            case NativeLibrary.Loaded loaded -> assertTrue(built);
            case NativeLibrary.Absent(String reason, String remedy) -> {
                assertFalse(built, reason);
                assertTrue(reason.contains(NativeLibrary.platform()), reason);
                assertTrue(remedy.contains("C compiler"), remedy);
            }
        }
    }

    @Test
    void namesASymbolThatIsNotThere() {
        Assumptions.assumeTrue(NativeLibrary.get() instanceof NativeLibrary.Loaded, "no native library was built");
        var loaded = assertInstanceOf(NativeLibrary.Loaded.class, NativeLibrary.get());
        var thrown = assertThrows(
                IllegalStateException.class, () -> loaded.bind("shoal_nothing", FunctionDescriptor.ofVoid()));
        assertTrue(thrown.getMessage().contains("shoal_nothing"), thrown.getMessage());
    }
}

package shoal.bridge.kernel.ffm;

import java.util.List;
import org.jspecify.annotations.Nullable;
import shoal.bridge.kernel.KernelProvider;
import shoal.bridge.kernel.KernelSettings;
import shoal.bridge.kernel.Kernels;
import shoal.bridge.kernel.host.HostKernels;
import shoal.bridge.kernel.host.HostOperations;
import shoal.bridge.kernel.scalar.ScalarOperations;
import shoal.bridge.kernel.vector.VectorOperations;
import shoal.bridge.kernel.vector.VectorProvider;
import shoal.bridge.library.NativeLibrary;

/** The kernels in C: there where a C compiler built them, and used after they agreed with the plain loops on this CPU. */
public final class NativeProvider implements KernelProvider {
    /** The system property that takes another instruction set than the fastest, such as {@code avx2}. */
    static final String LEVEL = "shoal.native.level";

    @Override
    public String name() {
        return "native";
    }

    @Override
    public int speed() {
        return 20;
    }

    @Override
    public Readiness readiness() {
        return switch (Start.STATE) {
            case Start.Usable usable -> new Readiness.Ready();
            case Start.Unusable(String reason, String remedy) -> new Readiness.Missing(reason, remedy);
        };
    }

    @Override
    public Kernels open(KernelSettings settings) {
        return switch (Start.STATE) {
            case Start.Usable(NativeLibrary.Loaded library, InstructionSet level) ->
                new HostKernels(
                        "native-" + level.label(), new NativeOperations(library, level, others()), settings.threads());
            case Start.Unusable(String reason, String remedy) ->
                throw new IllegalStateException("native kernels can't run: " + reason + ". " + remedy);
        };
    }

    /** The best that Java has here, for what C has no function for. */
    private static HostOperations others() {
        return switch (new VectorProvider().readiness()) {
            case Readiness.Ready() -> VectorStart.operations();
            case Readiness.Missing missing -> new ScalarOperations();
        };
    }

    /** Names the vector module's classes; loaded once it is known to be there. */
    private static final class VectorStart {
        static HostOperations operations() {
            return new VectorOperations();
        }
    }

    /** Looked into once. */
    private static final class Start {
        static final State STATE = look();

        sealed interface State {}

        record Usable(NativeLibrary.Loaded library, InstructionSet level) implements State {}

        record Unusable(String reason, String remedy) implements State {}

        private static State look() {
            return switch (NativeLibrary.get()) {
                case NativeLibrary.Absent(String reason, String remedy) -> new Unusable(reason, remedy);
                case NativeLibrary.Loaded library -> {
                    try {
                        yield choose(library, System.getProperty(LEVEL));
                    } catch (IllegalStateException failure) {
                        yield new Unusable(String.valueOf(failure.getMessage()), "Build it again");
                    }
                }
            };
        }

        private static State choose(NativeLibrary.Loaded library, @Nullable String wanted) {
            List<InstructionSet> levels = NativeOperations.levels(library);
            if (levels.isEmpty()) {
                return new Unusable(
                        "this CPU has none of the instruction sets that the native library was built for",
                        "Nothing can be done on this machine");
            }
            List<String> labels = levels.stream().map(InstructionSet::label).toList();
            if (wanted != null && !labels.contains(wanted)) {
                return new Unusable(
                        "the property " + LEVEL + " is " + wanted + ", here run " + String.join(", ", labels),
                        "Leave it out");
            }
            InstructionSet level = wanted == null ? levels.getLast() : levels.get(labels.indexOf(wanted));
            String failure = SelfCheck.failure(new NativeOperations(library, level, new ScalarOperations()));
            return failure == null
                    ? new Usable(library, level)
                    : new Unusable(
                            "its check of " + level.label() + " failed, " + failure, "Build it with another compiler");
        }
    }
}

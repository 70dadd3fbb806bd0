package shoal.bridge.kernel.host;

import java.lang.foreign.MemorySegment;
import java.util.Set;
import java.util.stream.Collectors;
import shoal.bridge.kernel.CompiledStage;
import shoal.bridge.kernel.Kernels;
import shoal.bridge.kernel.PreparedWeights;
import shoal.bridge.kernel.StageProgram;
import shoal.codec.gguf.GgmlType;

/** CPU kernels: weights stay mapped, programs are interpreted operation by operation over one thread pool, which this owns. */
public final class HostKernels implements Kernels {
    private final String name;
    private final HostOperations operations;
    private final ComputePool pool;

    public HostKernels(String name, HostOperations operations, int threads) {
        this.name = name;
        this.operations = operations;
        pool = new ComputePool(threads);
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public Set<GgmlType> supportedTypes() {
        return operations.types();
    }

    @Override
    public boolean keepsSumOrder() {
        return true;
    }

    @Override
    public PreparedWeights prepare(GgmlType type, int rows, int columns, MemorySegment mapped) {
        if (!operations.types().contains(type)) {
            throw new IllegalArgumentException("tensor type " + type + " is not supported; supported are "
                    + operations.types().stream().sorted().map(GgmlType::name).collect(Collectors.joining(", ")));
        }
        return new HostWeights(type, rows, columns, mapped);
    }

    @Override
    public CompiledStage compile(StageProgram program) {
        return new HostStage(program, operations, pool);
    }

    @Override
    public void close() {
        pool.close();
    }
}

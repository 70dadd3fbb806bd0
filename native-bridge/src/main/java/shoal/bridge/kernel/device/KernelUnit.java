package shoal.bridge.kernel.device;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import shoal.codec.gguf.GgmlType;

/** A source of kernels that is compiled by itself, in OpenCL C or CUDA C++ alike. */
public sealed interface KernelUnit {
    /** One word: {@code layers}, or a tensor type in lower case. */
    String name();

    /** All of the source, its headers included. */
    String source();

    /** The same for NVIDIA's compiler: behind it what only NVIDIA's GPUs do. */
    default String cudaSource() {
        return source();
    }

    /** What does not look at weights. */
    record Layers() implements KernelUnit {
        @Override
        public String name() {
            return "layers";
        }

        @Override
        public String source() {
            return resource("portable.h") + resource("layers.cl") + resource("attention.cl") + resource("choices.cl");
        }
    }

    /** Products with matrices of one type, and rows of them. */
    record Products(GgmlType type) implements KernelUnit {
        @Override
        public String name() {
            return type.name().toLowerCase(java.util.Locale.ROOT);
        }

        @Override
        public String source() {
            return "#define TYPE_" + type.name() + "\n" + resource("portable.h") + resource("products.cl");
        }

        @Override
        public String cudaSource() {
            return source() + resource("nvidia.cu") + resource("tensor.cu");
        }
    }

    private static String resource(String name) {
        try (InputStream in = KernelUnit.class.getResourceAsStream("/kernels/" + name)) {
            if (in == null) {
                throw new IllegalStateException("the source of the kernels, " + name + ", is not in the jar");
            }
            return new String(in.readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException failure) {
            throw new IllegalStateException(failure);
        }
    }
}

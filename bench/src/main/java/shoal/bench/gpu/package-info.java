/** Measures devices: what their memory allows, and what the kernels make of it. */
@NullMarked
package shoal.bench.gpu;

import org.jspecify.annotations.NullMarked;

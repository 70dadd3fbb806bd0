/** NVIDIA's GPUs through CUDA's driver API, called by the Foreign Function and Memory API. */
@NullMarked
package shoal.bridge.kernel.cuda;

import org.jspecify.annotations.NullMarked;

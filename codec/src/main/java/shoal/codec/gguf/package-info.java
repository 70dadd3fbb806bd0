/** Reads, writes, splits and joins GGUF: which tensors and metadata a file holds, and which bytes go where. */
@NullMarked
package shoal.codec.gguf;

import org.jspecify.annotations.NullMarked;

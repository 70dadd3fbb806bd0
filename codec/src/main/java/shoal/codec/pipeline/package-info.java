/** Who computes which layers, and a session's life. Knows no tensor values and no text. */
@NullMarked
package shoal.codec.pipeline;

import org.jspecify.annotations.NullMarked;

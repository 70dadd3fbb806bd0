/** Logits to a token, as a pure function of a seed and a position. */
@NullMarked
package shoal.bridge.model.sampling;

import org.jspecify.annotations.NullMarked;

/** Logits to a token, as a pure function of parameters, seed, position, the tokens before and a small carried state. */
@NullMarked
package shoal.bridge.model.sampling;

import org.jspecify.annotations.NullMarked;

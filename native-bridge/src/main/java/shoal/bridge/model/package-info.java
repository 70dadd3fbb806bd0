/** A slice of a model that runs: mapped bytes in, activations or logits out. */
@NullMarked
package shoal.bridge.model;

import org.jspecify.annotations.NullMarked;

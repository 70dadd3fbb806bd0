/** Text to token ids and back, from a GGUF's metadata alone. */
@NullMarked
package shoal.bridge.model.text;

import org.jspecify.annotations.NullMarked;

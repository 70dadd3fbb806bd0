/** One process that runs a whole model: prompt in, text out. */
@NullMarked
package shoal.bridge.generate;

import org.jspecify.annotations.NullMarked;

/** The operations of a model's stage as data, and the choice of who carries them out. */
@NullMarked
package shoal.bridge.kernel;

import org.jspecify.annotations.NullMarked;

/** The oracle: plain loops in the order of the formulas, one class per tensor type. */
@NullMarked
package shoal.bridge.kernel.scalar;

import org.jspecify.annotations.NullMarked;

/** A seeded world in virtual time, in which machines meet under faults. For tests and {@code bench} only; knows no protocol. */
@NullMarked
package shoal.codec.sim;

import org.jspecify.annotations.NullMarked;

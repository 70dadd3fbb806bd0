/** Processes on both sides of a ratio, one after the other on the same work, in one run. */
@NullMarked
package shoal.bench.race;

import org.jspecify.annotations.NullMarked;

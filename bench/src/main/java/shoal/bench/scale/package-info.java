/** Simulations that are too large for each test run. */
@NullMarked
package shoal.bench.scale;

import org.jspecify.annotations.NullMarked;

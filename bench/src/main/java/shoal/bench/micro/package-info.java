/** Microbenchmarks: one operation against a rival on the same work, in one run, with its answer checked. */
@NullMarked
package shoal.bench.micro;

import org.jspecify.annotations.NullMarked;

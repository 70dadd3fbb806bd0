/** Paths as they are out there, between endpoints of one machine: for tests and benchmarks. */
@NullMarked
package shoal.verticles.path;

import org.jspecify.annotations.NullMarked;

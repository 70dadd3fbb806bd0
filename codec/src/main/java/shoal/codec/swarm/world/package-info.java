/** A swarm in virtual time, for tests and benchmarks. */
@NullMarked
package shoal.codec.swarm.world;

import org.jspecify.annotations.NullMarked;

/** How well a swarm of processes serves: against one process, with many users, and when its machines are killed. */
@NullMarked
package shoal.bench.serving;

import org.jspecify.annotations.NullMarked;

/** Which block from whom, and to whom: decisions of a swarm, without bytes, hashes, disk or sockets. */
@NullMarked
package shoal.codec.swarm;

import org.jspecify.annotations.NullMarked;

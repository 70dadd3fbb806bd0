/** What a program outside the swarm asks of it over QUIC. */
@NullMarked
package shoal.verticles.client;

import org.jspecify.annotations.NullMarked;

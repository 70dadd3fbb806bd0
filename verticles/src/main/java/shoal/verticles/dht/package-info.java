/** Drives Kademlia over QUIC: answers who provides a key, and announces this node. */
@NullMarked
package shoal.verticles.dht;

import org.jspecify.annotations.NullMarked;

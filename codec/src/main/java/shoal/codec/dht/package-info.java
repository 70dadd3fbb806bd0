/** Kademlia over 256-bit ids: who is where, and who provides which key (Maymounkov and Mazières, 2002: "the paper"). */
@NullMarked
package shoal.codec.dht;

import org.jspecify.annotations.NullMarked;

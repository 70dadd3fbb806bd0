/**
 * How verticles talk: JSON envelopes to other machines, immutable records within the process. Alone imports Hazelcast.
 */
@NullMarked
package shoal.verticles.bus;

import org.jspecify.annotations.NullMarked;

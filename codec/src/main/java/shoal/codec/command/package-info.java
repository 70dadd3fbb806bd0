/**
 * The JSON envelopes that machines send each other over the event bus: what they say, not how it is carried out. Names and texts are
 * those of the documents that Shoal grew from.
 */
@NullMarked
package shoal.codec.command;

import org.jspecify.annotations.NullMarked;

/** Answers the envelopes that every role has, and hands the others to who carries them out. */
@NullMarked
package shoal.verticles.command;

import org.jspecify.annotations.NullMarked;

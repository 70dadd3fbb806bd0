/** Model files made here: of random weights, and quantised from another file. Written in one pass, whole or not at all. */
@NullMarked
package shoal.bridge.make;

import org.jspecify.annotations.NullMarked;

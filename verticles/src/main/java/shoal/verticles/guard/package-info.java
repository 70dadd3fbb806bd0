/** Answers for a node: that it is alive, and whether it takes work. */
@NullMarked
package shoal.verticles.guard;

import org.jspecify.annotations.NullMarked;

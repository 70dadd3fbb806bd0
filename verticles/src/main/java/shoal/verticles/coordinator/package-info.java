/** Finds nodes, gives them layers, and runs generations through them. */
@NullMarked
package shoal.verticles.coordinator;

import org.jspecify.annotations.NullMarked;

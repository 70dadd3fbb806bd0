/** Serves verified files to plain HTTP clients, with ranges. */
@NullMarked
package shoal.verticles.fileserver;

import org.jspecify.annotations.NullMarked;

/** Uploads of files to a rendezvous: both sides. */
@NullMarked
package shoal.verticles.push;

import org.jspecify.annotations.NullMarked;

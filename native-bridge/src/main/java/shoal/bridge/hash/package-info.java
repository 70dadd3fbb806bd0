/** SHA-256 of many blocks at once, BLAKE3, and the choice of who computes them. */
@NullMarked
package shoal.bridge.hash;

import org.jspecify.annotations.NullMarked;

/** Ids and bytes that all other packages speak of. Knows no protocol. */
@NullMarked
package shoal.codec.base;

import org.jspecify.annotations.NullMarked;

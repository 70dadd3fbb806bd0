/** Gets files into the store, from whoever has them. */
@NullMarked
package shoal.verticles.piecefetcher;

import org.jspecify.annotations.NullMarked;

/** Files on disk: verified ones, partial ones that survive a crash, and new ones written whole or not at all. Blocking. */
@NullMarked
package shoal.verticles.store;

import org.jspecify.annotations.NullMarked;

/** Finds the native library that travels in the jar, and loads it. */
@NullMarked
package shoal.bridge.library;

import org.jspecify.annotations.NullMarked;

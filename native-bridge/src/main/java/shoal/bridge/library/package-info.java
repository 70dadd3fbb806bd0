/** Finds the native library that travels in the jar, and loads it; asks the system for large pages. */
@NullMarked
package shoal.bridge.library;

import org.jspecify.annotations.NullMarked;

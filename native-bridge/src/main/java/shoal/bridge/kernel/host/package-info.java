/** What all CPU kernels share: an interpreter of stage programs, its threads, and the sequences' memory. */
@NullMarked
package shoal.bridge.kernel.host;

import org.jspecify.annotations.NullMarked;

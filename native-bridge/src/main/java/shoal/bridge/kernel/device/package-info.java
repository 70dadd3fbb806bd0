/** Stages on a device with memory of its own: what drivers share. */
@NullMarked
package shoal.bridge.kernel.device;

import org.jspecify.annotations.NullMarked;

/** CPU kernels in C, where the native library is there: the fastest, with the same bits as the plain loops. */
@NullMarked
package shoal.bridge.kernel.ffm;

import org.jspecify.annotations.NullMarked;

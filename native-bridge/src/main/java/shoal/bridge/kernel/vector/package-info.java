/** The same sums in the same order by the Vector API; alone imports jdk.incubator.vector here. */
@NullMarked
package shoal.bridge.kernel.vector;

import org.jspecify.annotations.NullMarked;

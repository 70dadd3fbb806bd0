/** {@code shoal bench}: the list of what can be measured. */
@NullMarked
package shoal.bench;

import org.jspecify.annotations.NullMarked;

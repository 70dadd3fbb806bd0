/** Who this process is: its key, its certificate, its signature, and the cluster's secret. Alone imports Bouncy Castle. */
@NullMarked
package shoal.verticles.identity;

import org.jspecify.annotations.NullMarked;

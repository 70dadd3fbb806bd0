/** What every bench tells: the machine, the command line, a table, ratios; on the screen or as JSON. */
@NullMarked
package shoal.bench.report;

import org.jspecify.annotations.NullMarked;

/** Roles: which verticles a process runs, how it joins its cluster, and how it ends. */
@NullMarked
package shoal.verticles.launcher;

import org.jspecify.annotations.NullMarked;

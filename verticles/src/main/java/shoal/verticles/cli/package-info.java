/** The command line: each command is one class; it reads options, calls the launcher or the library, and tells the result. */
@NullMarked
package shoal.verticles.cli;

import org.jspecify.annotations.NullMarked;

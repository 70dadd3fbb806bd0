/** The whole path on one machine: starts the swarm's processes, watches them, asks them, and ends them. */
@NullMarked
package shoal.verticles.demo;

import org.jspecify.annotations.NullMarked;

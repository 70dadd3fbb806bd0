/** The swarm's door for programs: HTTP in OpenAI's form, health, metrics, and the list of machines. */
@NullMarked
package shoal.verticles.api;

import org.jspecify.annotations.NullMarked;

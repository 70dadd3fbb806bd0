/** Profiles: JSON checked against {@code config/schema.json}, with errors that name file and key. */
@NullMarked
package shoal.verticles.config;

import org.jspecify.annotations.NullMarked;

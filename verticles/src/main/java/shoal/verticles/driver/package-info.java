/** Gives machines of {@code codec} real time and real events. */
@NullMarked
package shoal.verticles.driver;

import org.jspecify.annotations.NullMarked;

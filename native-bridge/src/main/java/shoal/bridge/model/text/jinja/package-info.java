/** A bounded interpreter of Jinja templates with the values of Python, for the chat templates that models carry. */
@NullMarked
package shoal.bridge.model.text.jinja;

import org.jspecify.annotations.NullMarked;

/** What may be generated: grammars in GBNF, JSON schemas as grammars, and which tokens fit. */
@NullMarked
package shoal.bridge.model.text.grammar;

import org.jspecify.annotations.NullMarked;

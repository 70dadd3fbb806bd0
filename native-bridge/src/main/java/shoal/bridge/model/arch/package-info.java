/** One file per architecture: hyper-parameters, tensor names, layers. */
@NullMarked
package shoal.bridge.model.arch;

import org.jspecify.annotations.NullMarked;

/** Devices through OpenCL, called by the Foreign Function and Memory API: any GPU, and CPUs through PoCL. */
@NullMarked
package shoal.bridge.kernel.opencl;

import org.jspecify.annotations.NullMarked;

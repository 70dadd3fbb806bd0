package shoal.bridge.kernel;

/**
 * One device of a provider whose kernels do not run on the Java machine's own cores.
 *
 * @param id as a user names it: {@code opencl:0}
 * @param name as its driver tells it
 * @param driver the driver and its version
 * @param memoryBytes all that it has
 * @param largestBufferBytes of one allocation
 * @param processor whether it is a CPU after all, and so slower than the kernels made for one
 */
public record DeviceInfo(
        String id, String name, String driver, long memoryBytes, long largestBufferBytes, boolean processor) {}

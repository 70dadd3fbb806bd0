package shoal.codec.pipeline;

import shoal.codec.base.NodeId;

/** How long a few bytes are on their way from one machine to another, one way. */
@FunctionalInterface
public interface LinkTimes {
    /** What is assumed where nothing was measured, and of all machines of one local network: 0.1 ms. */
    long LOCAL_NANOS = 100_000;

    /** All machines on one local network. */
    LinkTimes LOCAL = (from, to) -> from.equals(to) ? 0 : LOCAL_NANOS;

    /** In nanoseconds; 0 from a machine to itself. */
    long nanos(NodeId from, NodeId to);
}

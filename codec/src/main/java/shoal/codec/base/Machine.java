package shoal.codec.base;

import java.util.List;

/**
 * Something that decides. It has no socket, clock, thread, logger or randomness of its own: what happens comes in with the
 * time, what to do goes out. One thread at a time.
 *
 * @param <I> what can happen, a sealed family
 * @param <O> what it can want, a sealed family
 */
public interface Machine<I, O> {
    /**
     * Takes what happened, changes the state, and says what to do, in order.
     *
     * @param nowNanos nanoseconds since an arbitrary start, never going back
     * @return valid until the next call; the caller carries the effects out after this method has returned
     */
    List<O> handle(I input, long nowNanos);

    /** When the machine wants to be called at the latest; {@link Long#MAX_VALUE} for never. */
    long deadlineNanos();
}

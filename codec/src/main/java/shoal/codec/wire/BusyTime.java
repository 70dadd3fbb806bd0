package shoal.codec.wire;

import static shoal.codec.base.Bounds.requireRange;

/**
 * How long a stage computed, in two bytes: the upper 4 bits say how often the lower 12 are to be doubled. Exact to 1 in 2,048, from
 * a microsecond to two minutes.
 */
final class BusyTime {
    static final int MAX_MICROS = 4095 << 15;

    private BusyTime() {}

    static int toShort(int micros) {
        int shift = 0;
        while (micros >> shift > 4095) {
            shift++;
        }
        return shift << 12 | micros >> shift;
    }

    static int ofShort(int bits) {
        return (bits & 4095) << (bits >> 12);
    }

    /** What the wire can say of it. */
    static int rounded(int micros) {
        requireRange("busy micros", micros, 0, Integer.MAX_VALUE);
        return ofShort(toShort(Math.min(micros, MAX_MICROS)));
    }
}

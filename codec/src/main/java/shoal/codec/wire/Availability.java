package shoal.codec.wire;

import java.util.Locale;
import shoal.codec.base.MalformedException;

/** Whether a machine takes work. Its number goes over the wire. */
public enum Availability {
    WORKING(0),
    /** It was told to end, and goes when its work is done elsewhere. */
    LEAVING(1),
    /** Its owner needs it: it stays, keeps its files, and computes nothing. */
    RESTING(2);

    private final int number;

    Availability(int number) {
        this.number = number;
    }

    public int number() {
        return number;
    }

    public String text() {
        return name().toLowerCase(Locale.ROOT);
    }

    /** @throws MalformedException for a number that none has */
    public static Availability ofNumber(long number) {
        for (Availability availability : values()) {
            if (availability.number == number) {
                return availability;
            }
        }
        throw new MalformedException("availability is " + number + ", allowed 0..2");
    }
}

package shoal.codec.wire;

import java.util.Locale;
import shoal.codec.base.MalformedException;

/** What a process is in the swarm. Numbers go over the wire, lower-case names into profiles and envelopes. */
public enum Role {
    /** A tool that asks and leaves again: fetch, generate. */
    CLIENT(0),
    NODE(1),
    COORDINATOR(2),
    RENDEZVOUS(3);

    private final int number;

    Role(int number) {
        this.number = number;
    }

    public int number() {
        return number;
    }

    public String text() {
        return name().toLowerCase(Locale.ROOT);
    }

    public static Role ofNumber(long number) {
        for (Role role : values()) {
            if (role.number == number) {
                return role;
            }
        }
        throw new MalformedException("role is " + number + ", allowed 0..3");
    }
}

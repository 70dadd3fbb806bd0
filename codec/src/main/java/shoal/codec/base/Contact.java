package shoal.codec.base;

import java.util.List;

/** A node and where it can be reached, best address first. */
public record Contact(NodeId id, List<Endpoint> endpoints) {
    /** More addresses than any machine has use for; a bound for what a stranger sends. */
    public static final int MAX_ENDPOINTS = 8;

    public Contact {
        Bounds.requireRange("endpoints", endpoints.size(), 1, MAX_ENDPOINTS);
        endpoints = List.copyOf(endpoints);
    }

    @Override
    public String toString() {
        return id.toShortHex() + "@" + endpoints.getFirst();
    }
}

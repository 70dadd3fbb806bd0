package shoal.codec.base;

import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Where QUIC is spoken: a host name or an IPv4 or IPv6 address (without brackets), and a UDP port. */
public record Endpoint(String host, int port) {
    /** The longest host name (RFC 1035, section 2.3.4); longer than any address. */
    public static final int MAX_HOST_BYTES = 253;

    private static final Pattern MULTIADDR =
            Pattern.compile("/(ip4|ip6|dns|dns4|dns6)/([^/]+)/(tcp|udp)/(\\d{1,5})(/quic|/quic-v1)?(/p2p/[^/]+)?/?");

    public Endpoint {
        if (host.isEmpty() || host.length() > MAX_HOST_BYTES || !host.chars().allMatch(Endpoint::isHostCharacter)) {
            throw new IllegalArgumentException("'" + host + "' is no host name and no IP address");
        }
        Bounds.requireRange("port", port, 0, 65_535);
    }

    /**
     * Reads {@code host:port}, {@code [v6]:port} or a multiaddr such as {@code /ip4/127.0.0.1/tcp/51820}, whose port is read as
     * QUIC's, whatever transport it names.
     *
     * @throws MalformedException with what was found and what is allowed
     */
    public static Endpoint parse(String text) {
        try {
            if (text.startsWith("/")) {
                Matcher parts = MULTIADDR.matcher(text);
                if (parts.matches()) {
                    return new Endpoint(parts.group(2), Integer.parseInt(parts.group(4)));
                }
            } else if (text.startsWith("[")) {
                int end = text.indexOf("]:");
                if (end > 0) {
                    return new Endpoint(text.substring(1, end), Integer.parseInt(text.substring(end + 2)));
                }
            } else {
                int colon = text.indexOf(':');
                if (colon > 0 && colon == text.lastIndexOf(':')) {
                    return new Endpoint(text.substring(0, colon), Integer.parseInt(text.substring(colon + 1)));
                }
            }
        } catch (IllegalArgumentException refused) {
            throw new MalformedException("'" + text + "': " + refused.getMessage(), refused);
        }
        throw new MalformedException(
                "'" + text + "' is no address; allowed are host:port, [v6]:port and /ip4/1.2.3.4/udp/port");
    }

    private static boolean isHostCharacter(int c) {
        return c >= 'a' && c <= 'z'
                || c >= 'A' && c <= 'Z'
                || c >= '0' && c <= '9'
                || c == '.'
                || c == '-'
                || c == '_'
                || c == ':'
                || c == '%';
    }

    /** {@code host:port}, with brackets around an IPv6 address. */
    @Override
    public String toString() {
        return host.indexOf(':') >= 0 ? "[" + host + "]:" + port : host + ":" + port;
    }
}

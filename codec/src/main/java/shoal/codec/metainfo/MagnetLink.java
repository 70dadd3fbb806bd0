package shoal.codec.metainfo;

import java.net.URLDecoder;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.Endpoint;
import shoal.codec.base.MalformedException;

/**
 * {@code magnet:?xt=urn:btmh:1220…&dn=name&x.pe=host:port} (BEP 9, and BEP 52 for btmh: a multihash, 12 20 for SHA-256).
 *
 * @param name what to show until the torrent is here; null if the link has none
 * @param peers who has it, as the link says; at most {@link #MAX_PEERS}
 */
public record MagnetLink(InfoHash infoHash, @Nullable String name, List<Endpoint> peers) {
    public static final int MAX_CHARACTERS = 8_192;
    public static final int MAX_PEERS = 64;

    private static final String START = "magnet:?";
    private static final String TOPIC = "urn:btmh:1220";

    public MagnetLink {
        peers = List.copyOf(peers);
        if (peers.size() > MAX_PEERS) {
            throw new IllegalArgumentException("magnet link has " + peers.size() + " peers, allowed 0.." + MAX_PEERS);
        }
    }

    /** Reads a link; parameters that mean nothing here are passed over. @throws MalformedException otherwise */
    public static MagnetLink parse(String link) {
        if (link.length() > MAX_CHARACTERS) {
            throw new MalformedException(
                    "magnet link has " + link.length() + " characters, allowed 1.." + MAX_CHARACTERS);
        }
        if (!link.regionMatches(true, 0, START, 0, START.length())) {
            throw new MalformedException("a magnet link begins with " + START);
        }
        InfoHash infoHash = null;
        String name = null;
        var peers = new ArrayList<Endpoint>();
        for (String parameter : link.substring(START.length()).split("&", -1)) {
            int equals = parameter.indexOf('=');
            if (equals < 0) {
                continue;
            }
            String value = decode(parameter.substring(equals + 1));
            switch (parameter.substring(0, equals)) {
                case String key
                when key.equals("xt") || key.startsWith("xt.") -> {
                    if (value.toLowerCase(Locale.ROOT).startsWith(TOPIC)) {
                        InfoHash found = InfoHash.parse(value.substring(TOPIC.length()));
                        if (infoHash != null && !infoHash.equals(found)) {
                            throw new MalformedException("magnet link names two torrents");
                        }
                        infoHash = found;
                    }
                }
                case "dn" -> name = value;
                case "x.pe" -> {
                    if (peers.size() < MAX_PEERS) {
                        peers.add(Endpoint.parse(value));
                    }
                }
                case String _ -> {}
            }
        }
        if (infoHash == null) {
            throw new MalformedException("magnet link has no xt=" + TOPIC + "… (version 2, SHA-256, 64 digits)");
        }
        return new MagnetLink(infoHash, name, peers);
    }

    private static String decode(String value) {
        try {
            return URLDecoder.decode(value, StandardCharsets.UTF_8);
        } catch (IllegalArgumentException notEncoded) {
            throw new MalformedException("magnet link has a % that is not followed by two digits", notEncoded);
        }
    }

    private static String encode(String value) {
        return URLEncoder.encode(value, StandardCharsets.UTF_8)
                .replace("+", "%20")
                .replace("%3A", ":");
    }

    /** The link; {@link #parse} reads it back. */
    @Override
    public String toString() {
        return START + "xt=" + TOPIC + infoHash.toHex()
                + (name == null ? "" : "&dn=" + encode(name))
                + peers.stream().map(peer -> "&x.pe=" + encode(peer.toString())).collect(Collectors.joining());
    }
}

package shoal.codec.metainfo;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import shoal.codec.base.Endpoint;
import shoal.codec.base.MalformedException;

class BencodeTest {
    @ParameterizedTest
    @ValueSource(
            strings = {
                "i0e",
                "i-1e",
                "i9223372036854775807e",
                "i-9223372036854775808e",
                "0:",
                "4:spam",
                "le",
                "l4:spami42ee",
                "de",
                "d3:cow3:moo4:spam4:eggse",
                "d1:ad1:bleee"
            })
    void keepsEveryByte(String text) {
        byte[] bytes = text.getBytes(StandardCharsets.ISO_8859_1);
        assertArrayEquals(bytes, Bencode.parse(bytes).encode());
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "",
                "i",
                "ie",
                "i-e",
                "i-0e",
                "i00e",
                "i01e",
                "i-01e",
                "i1",
                "i 1e",
                "i+1e",
                "i1.0e",
                "i9223372036854775808e",
                "i99999999999999999999e",
                "5:spam",
                "04:spam",
                "-1:a",
                ":",
                "4",
                "4spam",
                "999999999999999999:a",
                "l",
                "li1e",
                "d",
                "d1:a",
                "di1ei2ee",
                "d1:bi1e1:ai2ee",
                "d1:ai1e1:ai2ee",
                "x",
                "i1ei2e",
                "dee"
            })
    void refusesEveryOtherForm(String text) {
        assertThrows(MalformedException.class, () -> Bencode.parse(text.getBytes(StandardCharsets.ISO_8859_1)), text);
    }

    @Test
    void keysAreSortedByTheirBytes() {
        byte[] right = {'d', '1', ':', 0x7f, 'i', '1', 'e', '1', ':', (byte) 0x80, 'i', '1', 'e', 'e'};
        assertArrayEquals(right, Bencode.parse(right).encode());
        byte[] wrong = {'d', '1', ':', (byte) 0x80, 'i', '1', 'e', '1', ':', 0x7f, 'i', '1', 'e', 'e'};
        assertThrows(MalformedException.class, () -> Bencode.parse(wrong));
    }

    @Test
    void depthIsBounded() {
        String deepest = "l".repeat(Bencode.MAX_DEPTH) + "e".repeat(Bencode.MAX_DEPTH);
        Bencode.parse(deepest.getBytes(StandardCharsets.ISO_8859_1));
        assertThrows(
                MalformedException.class,
                () -> Bencode.parse(("l" + deepest + "e").getBytes(StandardCharsets.ISO_8859_1)));
        assertThrows(
                MalformedException.class,
                () -> Bencode.parse("l".repeat(1_000_000).getBytes(StandardCharsets.ISO_8859_1)));
        assertThrows(
                MalformedException.class,
                () -> Bencode.parse(
                        ("l" + "le".repeat(Bencode.MAX_VALUES) + "e").getBytes(StandardCharsets.ISO_8859_1)));
    }

    @Test
    void magnetLinks() {
        // The example of BEP 52's own magnet form, with a name and peers.
        String hash = "caf1e1c30e81cb361b9ee167c4aa64228a7fa4fa9f6105232b28ad099f3a302e";
        String text = "magnet:?xt=urn:btmh:1220" + hash + "&dn=a%20b%26c.gguf&x.pe=127.0.0.1:51820&x.pe=%5B::1%5D:7";
        MagnetLink link = MagnetLink.parse(text);
        assertEquals(hash, link.infoHash().toHex());
        assertEquals("a b&c.gguf", link.name());
        assertEquals(java.util.List.of(new Endpoint("127.0.0.1", 51820), new Endpoint("::1", 7)), link.peers());
        assertEquals(text, link.toString());
        assertEquals(
                link.infoHash(),
                MagnetLink.parse(
                                "magnet:?xt=urn:btih:0123456789012345678901234567890123456789&tr=udp%3A%2F%2Fx&xt=urn:btmh:1220"
                                        + hash)
                        .infoHash());
        for (String bad : new String[] {
            "",
            "http://x",
            "magnet:?",
            "magnet:?xt=urn:btih:0123456789012345678901234567890123456789",
            "magnet:?xt=urn:btmh:1220" + hash.substring(1),
            "magnet:?xt=urn:btmh:1220" + hash + "&dn=%zz",
            "magnet:?xt=urn:btmh:1220" + hash + "&x.pe=nowhere",
            "magnet:?xt=urn:btmh:1220" + hash + "&xt=urn:btmh:1220" + hash.replace('c', 'd'),
            "magnet:?xt=urn:btmh:1220" + hash + "&dn=" + "x".repeat(9_000)
        }) {
            assertThrows(MalformedException.class, () -> MagnetLink.parse(bad), bad);
        }
    }
}

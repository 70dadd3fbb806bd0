package shoal.codec.base;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.HexFormat;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class BaseTest {
    /** The samples of RFC 9000, appendix A.1. */
    @ParameterizedTest
    @CsvSource({"c2197c5eff14e88c,151288809941952652", "9d7f3e7d,494878333", "7bbd,15293", "25,37"})
    void readsTheVarintsOfTheRfc(String hex, long value) {
        byte[] bytes = HexFormat.of().parseHex(hex);
        assertEquals(value, new ByteCursor(bytes).readVarint("sample", 0, Varint.MAX));
        assertArrayEquals(bytes, new ByteWriter().putVarint(value).toBytes());
    }

    @Test
    void readsTheLongFormOfAVarintToo() {
        assertEquals(37, new ByteCursor(HexFormat.of().parseHex("4025")).readVarint("sample", 0, 40));
    }

    @ParameterizedTest
    @CsvSource({
        "127.0.0.1:51820,127.0.0.1,51820",
        "[::1]:7,::1,7",
        "/ip4/127.0.0.1/tcp/51820,127.0.0.1,51820",
        "/ip6/fe80::1/udp/4001/quic-v1,fe80::1,4001",
        "/dns/rendezvous.example/udp/51820/quic,rendezvous.example,51820",
    })
    void readsAddresses(String text, String host, int port) {
        assertEquals(new Endpoint(host, port), Endpoint.parse(text));
        assertEquals(
                new Endpoint(host, port), Endpoint.parse(Endpoint.parse(text).toString()));
    }

    @ParameterizedTest
    @ValueSource(
            strings = {"", ":", "host", "host:", "host:70000", "::1:7", "/ip4/1.2.3.4", "ho st:1", "[::1]", "host:-1"})
    void refusesWhatIsNoAddress(String text) {
        assertThrows(MalformedException.class, () -> Endpoint.parse(text));
    }

    @Test
    void countsLeadingZeroBits() {
        assertEquals(256, Hash256.ZERO.leadingZeroBits());
        byte[] bytes = new byte[32];
        bytes[3] = 0x10;
        assertEquals(27, Hash256.of(bytes).leadingZeroBits());
    }

    @Test
    void aCountCannotPromiseMoreThanIsThere() {
        byte[] bytes = new ByteWriter().putVarint(1000).putInt(1).toBytes();
        assertThrows(MalformedException.class, () -> new ByteCursor(bytes).readCount("things", 100_000, 4));
    }
}

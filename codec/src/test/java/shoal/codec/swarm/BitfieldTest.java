package shoal.codec.swarm;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import shoal.codec.base.MalformedException;

class BitfieldTest {
    @Test
    void firstPieceIsTheHighestBit() { // BEP 3, "bitfield"
        Bitfield field = Bitfield.ofPicture("#....... .#");
        assertArrayEquals(new byte[] {(byte) 0x80, 0x40}, field.toBytes());
        assertEquals(field, Bitfield.parse(field.toBytes(), 10));
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 7, 8, 9, 63, 64, 65, 1000})
    void staysTheSameThroughBytesAndPictures(int size) {
        Random random = new Random(size);
        for (int round = 0; round < 50; round++) {
            Bitfield field = Bitfield.none(size);
            for (int p = 0; p < size; p++) {
                field = random.nextBoolean() ? field.with(p) : field;
            }
            assertEquals(field, Bitfield.parse(field.toBytes(), size));
            assertEquals(field, Bitfield.ofPicture(field.picture()));
            assertEquals(
                    field.count(), field.picture().chars().filter(c -> c == '#').count());
        }
        assertTrue(Bitfield.all(size).isFull());
        assertEquals(size == 0, Bitfield.none(size).isFull());
    }

    @Test
    void refusesBytesOfAnotherLengthAndSpareBits() {
        assertThrows(MalformedException.class, () -> Bitfield.parse(new byte[1], 9));
        assertThrows(MalformedException.class, () -> Bitfield.parse(new byte[3], 9));
        assertThrows(MalformedException.class, () -> Bitfield.parse(new byte[] {0, 0x40}, 9));
        assertEquals(1, Bitfield.parse(new byte[] {0, (byte) 0x80}, 9).count());
    }

    @Test
    void namesItsRanges() {
        assertEquals("4 of 8 pieces (0-1, 5, 7)", Bitfield.ofPicture("##...#.#").toString());
        assertEquals("0 of 3 pieces", Bitfield.none(3).toString());
    }

    @Test
    void combines() {
        Bitfield a = Bitfield.ofPicture("##..");
        Bitfield b = Bitfield.ofPicture("#.#.");
        assertEquals("#...", a.and(b).picture());
        assertEquals("###.", a.or(b).picture());
        assertEquals(".#..", a.minus(b).picture());
        assertFalse(a.containsAll(b));
        assertTrue(a.or(b).containsAll(b));
        assertEquals(3, b.nextClear(2));
        assertEquals(-1, Bitfield.all(4).nextClear(0));
    }
}

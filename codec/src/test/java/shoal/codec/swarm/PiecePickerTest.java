package shoal.codec.swarm;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.BitSet;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import shoal.codec.sim.SeedSource;

class PiecePickerTest {
    private static final BitSet NOTHING = new BitSet();

    private static BitSet bits(String picture) {
        return Bitfield.ofPicture(picture).toBitSet();
    }

    /** Against plain counting: sources come, gain pieces, lose pieces and go. */
    @ParameterizedTest
    @SeedSource(50)
    void countsAsPlainCountingDoes(long seed) {
        Random random = new Random(seed);
        int pieces = 1 + random.nextInt(40);
        Availability availability = new Availability(pieces);
        List<BitSet> sources = new ArrayList<>();
        for (int step = 0; step < 300; step++) {
            int what = sources.isEmpty() ? 0 : random.nextInt(4);
            if (what == 0) {
                BitSet has = new BitSet();
                if (random.nextInt(3) == 0) {
                    has.set(0, pieces);
                } else {
                    random.ints(pieces / 2, 0, pieces).forEach(has::set);
                }
                sources.add(has);
                availability.add(has);
            } else {
                BitSet has = sources.get(random.nextInt(sources.size()));
                int piece = random.nextInt(pieces);
                if (what == 1) {
                    sources.remove(has);
                    availability.remove(has);
                } else if (what == 2 && !has.get(piece)) {
                    has.set(piece);
                    availability.add(piece);
                } else if (what == 3 && has.get(piece)) {
                    has.clear(piece);
                    availability.remove(piece);
                }
            }
            int before = 0;
            Set<Integer> seen = new HashSet<>();
            for (int place = 0; place < pieces; place++) {
                int piece = availability.pieceAt(place);
                long count = sources.stream().filter(has -> has.get(piece)).count();
                assertEquals(count, availability.count(piece), "seed " + seed);
                assertTrue(availability.count(piece) >= before, "not rarest first, seed " + seed);
                before = availability.count(piece);
                assertTrue(seen.add(piece), "twice in the order, seed " + seed);
            }
        }
    }

    @Test
    void takesTheRarestThatTheSourceHas() {
        PiecePicker picker = new PiecePicker(Bitfield.all(6), new Random(1));
        picker.availability().add(bits("######"));
        picker.availability().add(bits("##.#.."));
        picker.availability().add(bits("##.#.#"));
        assertEquals(new PiecePicker.Run(4, 1), picker.pick(bits("##.###"), NOTHING, -1, 1));
        picker.close(4);
        assertEquals(new PiecePicker.Run(5, 1), picker.pick(bits("##.###"), NOTHING, -1, 1));
        assertEquals(new PiecePicker.Run(3, 1), picker.pick(bits("...#.."), NOTHING, -1, 1));
        assertEquals(PiecePicker.Run.NONE, picker.pick(bits("....#."), NOTHING, -1, 1));
        assertEquals(PiecePicker.Run.NONE, picker.pick(bits("...#.."), bits("...#.."), -1, 1));
    }

    @Test
    void goesOnWhereItWasAndTakesNeighboursTogether() {
        PiecePicker picker = new PiecePicker(Bitfield.all(100), new Random(1));
        picker.availability().add(Bitfield.all(100).toBitSet());
        BitSet all = Bitfield.all(100).toBitSet();
        assertEquals(new PiecePicker.Run(40, 8), picker.pick(all, NOTHING, 40, 8));
        picker.close(45);
        assertEquals(new PiecePicker.Run(40, 5), picker.pick(all, NOTHING, 40, 8));
    }

    @Test
    void startsAnywhere() {
        Set<Integer> starts = new HashSet<>();
        for (int seed = 0; seed < 50; seed++) {
            PiecePicker picker = new PiecePicker(Bitfield.all(1000), new Random(seed));
            starts.add(
                    picker.pick(Bitfield.all(1000).toBitSet(), NOTHING, -1, 4).firstPiece());
        }
        assertTrue(starts.size() > 40, "only " + starts.size() + " of 50 starts differ");
    }

    @Test
    void takesRangesThatSomebodyWaitsForFirstAndInOrder() {
        PiecePicker picker = new PiecePicker(Bitfield.all(100), new Random(1));
        picker.prioritise(60, 10);
        picker.prioritise(20, 5);
        BitSet all = Bitfield.all(100).toBitSet();
        List<Integer> order = new ArrayList<>();
        while (order.size() < 15) {
            PiecePicker.Run run = picker.pick(all, NOTHING, 90, 4);
            for (int p = run.firstPiece(); p < run.firstPiece() + run.pieceCount(); p++) {
                order.add(p);
                picker.close(p);
            }
        }
        assertEquals(List.of(20, 21, 22, 23, 24, 60, 61, 62, 63, 64, 65, 66, 67, 68, 69), order);
    }
}

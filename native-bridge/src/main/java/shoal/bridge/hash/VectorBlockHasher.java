package shoal.bridge.hash;

import java.lang.foreign.MemorySegment;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;
import shoal.codec.metainfo.Pieces;

/**
 * SHA-256 (FIPS 180-4) of as many blocks side by side as the widest vectors have 32-bit lanes: lane i of every vector belongs to
 * block i. Plain Java; where the JDK's own instructions are faster for the few blocks left over, those go there.
 */
final class VectorBlockHasher extends LaneBlockHasher {
    private static final VectorSpecies<Integer> SPECIES = IntVector.SPECIES_PREFERRED;
    private static final int LANES = SPECIES.length();
    private static final int WORDS = 16;
    private static final int CHUNK_BYTES = 64;

    /** Fewer blocks than this are faster one by one. */
    private static final int ENOUGH = Math.max(1, LANES * 3 / 4);

    private static final int[] K = Sha256Words.ROUNDS;

    /** The schedule of the block of padding behind 16 KiB, with K added: the same for all. */
    private static final int[] PADDING = Sha256Words.scheduleOfPadding(Pieces.BLOCK_SIZE);

    /** Lanes of the preferred vectors; fewer than 4 are of no use. */
    static int lanes() {
        return LANES;
    }

    @Override
    public String name() {
        return "vector-" + LANES;
    }

    @Override
    void hash(Blocks blocks, byte[] hashes) {
        var schedule = new int[64 * LANES];
        var state = new int[8 * LANES];
        var data = new MemorySegment[LANES];
        var offset = new long[LANES];
        for (int first = 0; first < blocks.count; first += LANES) {
            int count = Math.min(LANES, blocks.count - first);
            if (count < ENOUGH) {
                for (int i = first; i < blocks.count; i++) {
                    hashAlone(blocks.data[i].asSlice(blocks.offset[i], Pieces.BLOCK_SIZE), hashes, blocks.target[i]);
                }
                return;
            }
            for (int lane = 0; lane < LANES; lane++) { // lanes without a block repeat the first
                int block = first + (lane < count ? lane : 0);
                data[lane] = blocks.data[block];
                offset[lane] = blocks.offset[block];
            }
            for (int i = 0; i < 8; i++) {
                IntVector.broadcast(SPECIES, Sha256Words.START[i]).intoArray(state, i * LANES);
            }
            for (int at = 0; at < Pieces.BLOCK_SIZE; at += CHUNK_BYTES) {
                LaneTranspose.words(data, offset, at, schedule, true);
                extend(schedule);
                compress(state, schedule);
            }
            compressPadding(state);
            for (int lane = 0; lane < count; lane++) {
                int target = blocks.target[first + lane];
                for (int i = 0; i < 8; i++) {
                    Sha256Words.putBig(hashes, target + 4 * i, state[i * LANES + lane]);
                }
            }
        }
    }

    private static IntVector rotate(IntVector x, int bits) {
        return x.lanewise(VectorOperators.ROR, bits);
    }

    private static IntVector xor(IntVector a, IntVector b) {
        return a.lanewise(VectorOperators.XOR, b);
    }

    /** Words 16..63 from those before (section 6.2.2, step 1). */
    private static void extend(int[] w) {
        for (int at = WORDS * LANES; at < 64 * LANES; at += LANES) {
            IntVector w15 = IntVector.fromArray(SPECIES, w, at - 15 * LANES);
            IntVector w2 = IntVector.fromArray(SPECIES, w, at - 2 * LANES);
            IntVector s0 = xor(xor(rotate(w15, 7), rotate(w15, 18)), w15.lanewise(VectorOperators.LSHR, 3));
            IntVector s1 = xor(xor(rotate(w2, 17), rotate(w2, 19)), w2.lanewise(VectorOperators.LSHR, 10));
            IntVector.fromArray(SPECIES, w, at - 16 * LANES)
                    .add(s0)
                    .add(IntVector.fromArray(SPECIES, w, at - 7 * LANES))
                    .add(s1)
                    .intoArray(w, at);
        }
    }

    private static IntVector choose(IntVector e, IntVector f, IntVector g) {
        return xor(g, e.and(xor(f, g)));
    }

    private static IntVector majority(IntVector a, IntVector b, IntVector c) {
        return a.and(b).or(c.and(a.or(b)));
    }

    private static IntVector sum0(IntVector a) {
        return xor(xor(rotate(a, 2), rotate(a, 13)), rotate(a, 22));
    }

    private static IntVector sum1(IntVector e) {
        return xor(xor(rotate(e, 6), rotate(e, 11)), rotate(e, 25));
    }

    /**
     * One block of 64 bytes (section 6.2.2, steps 2 to 4). The shape matters to the JIT: vectors stay in registers only while one
     * compiled method holds few enough operations, so rounds are not unrolled here, and this is too long to be inlined.
     */
    private static void compress(int[] state, int[] w) {
        IntVector a = IntVector.fromArray(SPECIES, state, 0);
        IntVector b = IntVector.fromArray(SPECIES, state, LANES);
        IntVector c = IntVector.fromArray(SPECIES, state, 2 * LANES);
        IntVector d = IntVector.fromArray(SPECIES, state, 3 * LANES);
        IntVector e = IntVector.fromArray(SPECIES, state, 4 * LANES);
        IntVector f = IntVector.fromArray(SPECIES, state, 5 * LANES);
        IntVector g = IntVector.fromArray(SPECIES, state, 6 * LANES);
        IntVector h = IntVector.fromArray(SPECIES, state, 7 * LANES);
        for (int t = 0; t < 64; t++) {
            IntVector word = IntVector.fromArray(SPECIES, w, t * LANES).add(K[t]);
            IntVector t1 = h.add(word).add(choose(e, f, g)).add(sum1(e));
            IntVector t2 = majority(a, b, c).add(sum0(a));
            h = g;
            g = f;
            f = e;
            e = d.add(t1);
            d = c;
            c = b;
            b = a;
            a = t1.add(t2);
        }
        IntVector.fromArray(SPECIES, state, 0 * LANES).add(a).intoArray(state, 0 * LANES);
        IntVector.fromArray(SPECIES, state, 1 * LANES).add(b).intoArray(state, 1 * LANES);
        IntVector.fromArray(SPECIES, state, 2 * LANES).add(c).intoArray(state, 2 * LANES);
        IntVector.fromArray(SPECIES, state, 3 * LANES).add(d).intoArray(state, 3 * LANES);
        IntVector.fromArray(SPECIES, state, 4 * LANES).add(e).intoArray(state, 4 * LANES);
        IntVector.fromArray(SPECIES, state, 5 * LANES).add(f).intoArray(state, 5 * LANES);
        IntVector.fromArray(SPECIES, state, 6 * LANES).add(g).intoArray(state, 6 * LANES);
        IntVector.fromArray(SPECIES, state, 7 * LANES).add(h).intoArray(state, 7 * LANES);
    }

    private static void compressPadding(int[] state) {
        var schedule = new int[64 * LANES];
        for (int t = 0; t < 64; t++) {
            IntVector.broadcast(SPECIES, PADDING[t]).intoArray(schedule, t * LANES);
        }
        compress(state, schedule);
    }
}

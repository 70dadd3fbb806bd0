package shoal.bridge.hash;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/** BLAKE3 chaining values of as many chunks or parents side by side as vectors have lanes (paper, section 5.3). */
final class VectorBlake3 {
    private static final VectorSpecies<Integer> SPECIES = IntVector.SPECIES_PREFERRED;
    private static final int LANES = SPECIES.length();
    private static final int WORDS = 16;
    private static final ValueLayout.OfInt WORD = ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    /** For each of the 56 mixings: offsets of four vectors of the state and of two of the message. */
    private static final int[] MIXINGS = mixings();

    private VectorBlake3() {}

    private static int[] mixings() {
        var mixings = new int[7 * 8 * 6];
        for (int i = 0; i < 56; i++) {
            int diagonal = i % 8 < 4 ? 0 : 1;
            int column = i % 4;
            int[] of = {
                column,
                4 + (column + diagonal) % 4,
                8 + (column + 2 * diagonal) % 4,
                12 + (column + 3 * diagonal) % 4,
                Blake3Node.SCHEDULE[2 * i],
                Blake3Node.SCHEDULE[2 * i + 1]
            };
            for (int j = 0; j < of.length; j++) {
                mixings[of.length * i + j] = of[j] * LANES;
            }
        }
        return mixings;
    }

    /** Inputs of 64 * blocks bytes: chunks, numbered from counter on, or parents, which have one block. */
    static void hash(MemorySegment input, int count, int blocks, long counter, MemorySegment values) {
        var message = new int[WORDS * LANES];
        var state = new int[WORDS * LANES];
        var value = new int[8 * LANES];
        var data = new MemorySegment[LANES];
        var offset = new long[LANES];
        boolean parents = blocks == 1;
        int size = ChunkHasher.BLOCK_BYTES * blocks;
        for (int first = 0; first < count; first += LANES) {
            int taken = Math.min(LANES, count - first);
            for (int lane = 0; lane < LANES; lane++) {
                data[lane] = input;
                offset[lane] = (long) size * (first + (lane < taken ? lane : 0));
            }
            for (int i = 0; i < 8; i++) {
                IntVector.broadcast(SPECIES, Sha256Words.START[i]).intoArray(value, i * LANES);
            }
            for (int block = 0; block < blocks; block++) {
                LaneTranspose.words(data, offset, (long) ChunkHasher.BLOCK_BYTES * block, message, false);
                int flags = parents
                        ? ChunkHasher.PARENT
                        : (block == 0 ? ChunkHasher.CHUNK_START : 0)
                                | (block + 1 == blocks ? ChunkHasher.CHUNK_END : 0);
                System.arraycopy(value, 0, state, 0, 8 * LANES);
                for (int i = 0; i < 4; i++) {
                    IntVector.broadcast(SPECIES, Sha256Words.START[i]).intoArray(state, (8 + i) * LANES);
                }
                for (int lane = 0; lane < LANES; lane++) {
                    long number = parents ? 0 : counter + first + lane;
                    state[12 * LANES + lane] = (int) number;
                    state[13 * LANES + lane] = (int) (number >>> 32);
                }
                IntVector.broadcast(SPECIES, ChunkHasher.BLOCK_BYTES).intoArray(state, 14 * LANES);
                IntVector.broadcast(SPECIES, flags).intoArray(state, 15 * LANES);
                mix(state, message);
                for (int at = 0; at < 8 * LANES; at += LANES) {
                    IntVector.fromArray(SPECIES, state, at)
                            .lanewise(VectorOperators.XOR, IntVector.fromArray(SPECIES, state, at + 8 * LANES))
                            .intoArray(value, at);
                }
            }
            for (int lane = 0; lane < taken; lane++) {
                for (int i = 0; i < 8; i++) {
                    values.set(WORD, (long) ChunkHasher.VALUE_BYTES * (first + lane) + 4L * i, value[i * LANES + lane]);
                }
            }
        }
    }

    /** All rounds; the state stays in memory, since sixteen vectors in a loop are more than the JIT keeps in registers. */
    private static void mix(int[] v, int[] message) {
        for (int at = 0; at < MIXINGS.length; at += 6) {
            int pa = MIXINGS[at];
            int pb = MIXINGS[at + 1];
            int pc = MIXINGS[at + 2];
            int pd = MIXINGS[at + 3];
            IntVector b = IntVector.fromArray(SPECIES, v, pb);
            IntVector a = IntVector.fromArray(SPECIES, v, pa)
                    .add(b)
                    .add(IntVector.fromArray(SPECIES, message, MIXINGS[at + 4]));
            IntVector d = turn(IntVector.fromArray(SPECIES, v, pd), a, 16);
            IntVector c = IntVector.fromArray(SPECIES, v, pc).add(d);
            b = turn(b, c, 12);
            a = a.add(b).add(IntVector.fromArray(SPECIES, message, MIXINGS[at + 5]));
            d = turn(d, a, 8);
            c = c.add(d);
            a.intoArray(v, pa);
            turn(b, c, 7).intoArray(v, pb);
            c.intoArray(v, pc);
            d.intoArray(v, pd);
        }
    }

    private static IntVector turn(IntVector x, IntVector y, int bits) {
        return x.lanewise(VectorOperators.XOR, y).lanewise(VectorOperators.ROR, bits);
    }
}

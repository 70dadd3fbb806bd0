package shoal.bridge.kernel.vector;

import static shoal.bridge.kernel.vector.Lanes.FLOATS;
import static shoal.bridge.kernel.vector.Lanes.GROUPS;
import static shoal.bridge.kernel.vector.Lanes.WIDTH;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;
import shoal.bridge.kernel.host.HostBuffer;
import shoal.codec.gguf.GgmlType;

/** Of {@link shoal.bridge.kernel.scalar.Q6_K}. */
final class UnpackQ6_K implements Unpacker {
    private static final int HIGH = 128;
    private static final int SCALES = 192;
    private static final int SCALE = 208;

    @Override
    public Constants constants() {
        return Constants.NONE;
    }

    @Override
    public void unpack(MemorySegment w, long offset, int columns, UnpackedRows to, int at) {
        int blocks = columns / GgmlType.Q6_K.blockValues();
        for (int i = 0; i < blocks; i++) {
            unpackBlock(w, offset + (long) i * GgmlType.Q6_K.blockBytes(), to, at + i * GgmlType.Q6_K.blockValues());
        }
    }

    private static void unpackBlock(MemorySegment w, long block, UnpackedRows to, int at) {
        float scale = Lanes.half(w, block + SCALE);
        for (int part = 0; part < 8; part++) {
            to.scales[at / HostBuffer.BLOCK + part] = scale;
        }
        for (int i = 0; i < 4; i++) {
            // 16 bytes of upper bits serve four parts
            int half = i / 2;
            int side = i % 2;
            long low = block + 64L * half + 16L * side;
            long scales = block + SCALES + 8L * half + side;
            int to16 = at + 128 * half + 16 * side;
            for (int group = 0; group < GROUPS; group++) {
                IntVector tops = Lanes.unsignedBytes(w, block + HIGH + 32L * half + 16L * side, group);
                IntVector first = Lanes.unsignedBytes(w, low, group);
                IntVector second = Lanes.unsignedBytes(w, low + 32, group);
                int column = to16 + group * WIDTH;
                store(first.and(15), tops.and(3), w.get(ValueLayout.JAVA_BYTE, scales), to, column);
                store(
                        second.and(15),
                        tops.lanewise(VectorOperators.LSHR, 2).and(3),
                        w.get(ValueLayout.JAVA_BYTE, scales + 2),
                        to,
                        column + 32);
                store(
                        first.lanewise(VectorOperators.LSHR, 4),
                        tops.lanewise(VectorOperators.LSHR, 4).and(3),
                        w.get(ValueLayout.JAVA_BYTE, scales + 4),
                        to,
                        column + 64);
                store(
                        second.lanewise(VectorOperators.LSHR, 4),
                        tops.lanewise(VectorOperators.LSHR, 6),
                        w.get(ValueLayout.JAVA_BYTE, scales + 6),
                        to,
                        column + 96);
            }
        }
    }

    private static void store(IntVector low, IntVector top, byte scale, UnpackedRows to, int column) {
        Lanes.toFloats(low.or(top.lanewise(VectorOperators.LSHL, 4)))
                .sub(32f)
                .mul(FloatVector.broadcast(FLOATS, scale))
                .intoArray(to.levels, column);
    }
}

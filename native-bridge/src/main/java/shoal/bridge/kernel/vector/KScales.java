package shoal.bridge.kernel.vector;

import java.lang.foreign.MemorySegment;

/** The first 16 bytes of a block of Q4_K or Q5_K: two F16, then eight scales and eight factors of 6 bits. */
final class KScales {
    private KScales() {}

    /** Eight scales and eight constants, which are taken away, go to index part on. */
    static void unpack(MemorySegment w, long block, UnpackedRows to, int part) {
        float scale = Lanes.half(w, block);
        float constant = -Lanes.half(w, block + 2);
        int first = Lanes.bits32(w, block + 4);
        int second = Lanes.bits32(w, block + 8);
        int third = Lanes.bits32(w, block + 12);
        four(first & 0x3f3f3f3f, scale, to.scales, part);
        four(third & 0x0f0f0f0f | first >>> 2 & 0x30303030, scale, to.scales, part + 4);
        four(second & 0x3f3f3f3f, constant, to.constants, part);
        four(third >>> 4 & 0x0f0f0f0f | second >>> 2 & 0x30303030, constant, to.constants, part + 4);
    }

    private static void four(int bytes, float factor, float[] to, int at) {
        to[at] = factor * (bytes & 255);
        to[at + 1] = factor * (bytes >> 8 & 255);
        to[at + 2] = factor * (bytes >> 16 & 255);
        to[at + 3] = factor * (bytes >> 24 & 255);
    }
}

package shoal.bridge.kernel;

import shoal.codec.base.Bounds;

/** One named buffer of a {@link StageProgram}: width F32 values per row, as many rows as the batch has tokens. */
public record Slot(int index, String name, int width) {
    /** Wider than any vocabulary or feed-forward layer; a bound for what a file claims. */
    public static final int MAX_WIDTH = 1 << 24;

    public Slot {
        Bounds.requireRange("index of " + name, index, 0, StageProgram.MAX_SLOTS - 1);
        Bounds.requireRange("width of " + name, width, 1, MAX_WIDTH);
    }
}

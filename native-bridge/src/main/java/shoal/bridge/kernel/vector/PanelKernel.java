package shoal.bridge.kernel.vector;

import static shoal.bridge.kernel.vector.Lanes.FLOATS;
import static shoal.bridge.kernel.vector.Lanes.WIDTH;

import java.util.Arrays;
import jdk.incubator.vector.FloatVector;
import shoal.bridge.kernel.SumOrder;
import shoal.bridge.kernel.host.HostBuffer;
import shoal.bridge.kernel.host.HostWeights;

/**
 * Many tokens: {@link Panel panels} of {@link Panel#ROWS} rows are unpacked, a column's rows beside each other, which the second cache
 * holds while all tokens pass, {@link Panel#TOKENS} at a time. Rows lie in lanes, so a block's products are added without any exchange
 * between lanes.
 */
final class PanelKernel {
    private static final int LANES = SumOrder.LANES;
    private static final int ROWS = Panel.ROWS;
    private static final int TOKENS = Panel.TOKENS;
    private static final int TILE = Panel.TILE;

    /** Columns unpacked at once: 256 KiB of F32 with 512 bits. A multiple of every type's block and of 16 of ours. */
    private static final int CHUNK = 2048;

    private final Unpacker unpacker;

    PanelKernel(Unpacker unpacker) {
        this.unpacker = unpacker;
    }

    /** As {@link MatrixKernel#multiply}. */
    void multiply(
            HostWeights w,
            int firstRow,
            int rowCount,
            HostBuffer x,
            int tokens,
            float[] out,
            int outStride,
            int outColumn) {
        int columns = w.columns();
        int width = Math.min(CHUNK, columns);
        boolean whole = width == columns;
        int tiles = (tokens + TOKENS - 1) / TOKENS;
        Panel panel = PairPanel.fits(unpacker) ? new PairPanel(unpacker, width) : new FloatPanel(unpacker, width);
        float[] lanes = new float[(whole ? 1 : tiles) * LANES * TILE];
        for (int row = 0; row < rowCount; row += ROWS) {
            int rows = Math.min(ROWS, rowCount - row);
            Arrays.fill(lanes, 0f);
            for (int column = 0; column < columns; column += width) {
                int count = Math.min(width, columns - column);
                panel.unpack(w, firstRow + row, rows, column, count);
                for (int tile = 0; tile < tiles; tile++) {
                    int at = whole ? 0 : tile * LANES * TILE;
                    if (whole && tile > 0) {
                        Arrays.fill(lanes, 0f);
                    }
                    panel.multiply(x, tile * TOKENS, tokens, columns, column, count, lanes, at);
                    if (column + count == columns) {
                        tree(lanes, at);
                        for (int t = 0; t < Math.min(TOKENS, tokens - tile * TOKENS); t++) {
                            int to = (tile * TOKENS + t) * outStride + outColumn + row;
                            System.arraycopy(lanes, at + t * ROWS, out, to, rows);
                        }
                    }
                }
            }
        }
    }

    /** As {@link SumOrder#tree}, of a whole tile; the sums are where lane 0 was. */
    private static void tree(float[] lanes, int at) {
        for (int half = LANES / 2; half >= 1; half /= 2) {
            for (int i = at; i < at + half * TILE; i += WIDTH) {
                FloatVector.fromArray(FLOATS, lanes, i)
                        .add(FloatVector.fromArray(FLOATS, lanes, i + half * TILE))
                        .intoArray(lanes, i);
            }
        }
    }
}

package shoal.bridge.kernel.vector;

import static shoal.bridge.kernel.vector.Lanes.FLOATS;
import static shoal.bridge.kernel.vector.Lanes.GROUPS;
import static shoal.bridge.kernel.vector.Lanes.INTS;
import static shoal.bridge.kernel.vector.Lanes.WIDTH;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import org.jspecify.annotations.Nullable;
import shoal.bridge.kernel.SumOrder;
import shoal.bridge.kernel.host.HostBuffer;
import shoal.bridge.kernel.host.HostWeights;

/**
 * Any type of blocks. With few tokens, a row's levels are unpacked to 16 bits in a scratch that stays in the first cache, and
 * multiplied there ({@link BlockSums}); with many, {@link PanelKernel} takes over.
 */
final class BlockKernel implements MatrixKernel {
    private static final int LANES = SumOrder.LANES;

    private final Unpacker unpacker;
    private final @Nullable RowLoop loop;
    private final PanelKernel panels;

    BlockKernel(Unpacker unpacker) {
        this(unpacker, null);
    }

    /** @param loop for one token, if the type has a loop of its own */
    BlockKernel(Unpacker unpacker, @Nullable RowLoop loop) {
        this.unpacker = unpacker;
        this.loop = loop;
        panels = new PanelKernel(unpacker);
    }

    @Override
    public void multiply(
            HostWeights w,
            int firstRow,
            int rowCount,
            HostBuffer x,
            int tokens,
            float[] out,
            int outStride,
            int outColumn) {
        if (tokens >= HostBuffer.MANY) {
            panels.multiply(w, firstRow, rowCount, x, tokens, out, outStride, outColumn);
            return;
        }
        int columns = w.columns();
        UnpackedRows row = new UnpackedRows(1, columns);
        BlockSums sums = new BlockSums(columns / HostBuffer.BLOCK);
        float[] lanes = new float[LANES];
        // Four streams, a quarter of the rows apart: one stream alone does not keep the memory busy.
        int quarter = (rowCount + 3) / 4;
        for (int r = 0; r < quarter; r++) {
            for (int index = r; index < rowCount; index += quarter) {
                long offset = (firstRow + index) * w.rowBytes();
                if (loop != null && tokens == 1) {
                    loop.multiply(w.bytes(), offset, columns, x.levels16(), 0, sums, row);
                    add(sums.ofPartials(), row, columns, x, 0, sums, lanes);
                    out[outColumn + index] = SumOrder.tree(lanes, 0);
                    continue;
                }
                unpacker.unpackScales(w.bytes(), offset, columns, row, 0);
                unpacker.unpackLevels(w.bytes(), offset, columns, row, 0);
                for (int t = 0; t < tokens; t++) {
                    multiply(row, columns, x, t, sums, lanes);
                    out[t * outStride + outColumn + index] = SumOrder.tree(lanes, 0);
                }
            }
        }
    }

    private void multiply(UnpackedRows row, int columns, HostBuffer x, int token, BlockSums sums, float[] lanes) {
        int[] products = unpacker.scalesHalves()
                ? sums.ofHalves(row.levels, row.halfScales, x.levels16(), token * columns)
                : sums.of(row.levels, x.levels16(), token * columns);
        add(products, row, columns, x, token, sums, lanes);
    }

    private void add(
            int[] products, UnpackedRows row, int columns, HostBuffer x, int token, BlockSums sums, float[] lanes) {
        int parts = columns / HostBuffer.BLOCK;
        switch (unpacker.constants()) {
            case NONE -> add(products, row.scales, x.scales(), token * parts, parts, lanes);
            case PER_PART ->
                addWithConstants(
                        products,
                        row.scales,
                        x.levelSums(),
                        token * parts,
                        row.constants,
                        x.scales(),
                        token * parts,
                        parts,
                        lanes);
            case PER_HALF ->
                addWithConstants(
                        products,
                        row.scales,
                        sums.ofFactors(row.factors, x.levels8(), token * columns),
                        0,
                        row.constants,
                        x.scales(),
                        token * parts,
                        parts,
                        lanes);
        }
    }

    private static void add(int[] products, float[] scales, float[] others, int other, int parts, float[] lanes) {
        int whole = parts / LANES * LANES;
        for (int group = 0; group < GROUPS; group++) {
            FloatVector sum = FloatVector.zero(FLOATS);
            for (int part = group * WIDTH; part < whole; part += LANES) {
                FloatVector scale = FloatVector.fromArray(FLOATS, scales, part)
                        .mul(FloatVector.fromArray(FLOATS, others, other + part));
                sum = Lanes.toFloats(IntVector.fromArray(INTS, products, part)).fma(scale, sum);
            }
            sum.intoArray(lanes, group * WIDTH);
        }
        for (int part = whole; part < parts; part++) {
            lanes[part - whole] =
                    Math.fma((float) products[part], scales[part] * others[other + part], lanes[part - whole]);
        }
    }

    private static void addWithConstants(
            int[] products,
            float[] scales,
            int[] levelSums,
            int levelSum,
            float[] constants,
            float[] others,
            int other,
            int parts,
            float[] lanes) {
        int whole = parts / LANES * LANES;
        for (int group = 0; group < GROUPS; group++) {
            FloatVector sum = FloatVector.zero(FLOATS);
            for (int part = group * WIDTH; part < whole; part += LANES) {
                FloatVector activation = FloatVector.fromArray(FLOATS, others, other + part);
                FloatVector scale = FloatVector.fromArray(FLOATS, scales, part).mul(activation);
                FloatVector constant =
                        FloatVector.fromArray(FLOATS, constants, part).mul(activation);
                sum = Lanes.toFloats(IntVector.fromArray(INTS, products, part)).fma(scale, sum);
                sum = Lanes.toFloats(IntVector.fromArray(INTS, levelSums, levelSum + part))
                        .fma(constant, sum);
            }
            sum.intoArray(lanes, group * WIDTH);
        }
        for (int part = whole; part < parts; part++) {
            int lane = part - whole;
            float activation = others[other + part];
            lanes[lane] = Math.fma((float) products[part], scales[part] * activation, lanes[lane]);
            lanes[lane] = Math.fma((float) levelSums[levelSum + part], constants[part] * activation, lanes[lane]);
        }
    }
}

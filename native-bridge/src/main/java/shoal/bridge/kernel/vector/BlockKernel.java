package shoal.bridge.kernel.vector;

import static shoal.bridge.kernel.vector.Lanes.FLOATS;
import static shoal.bridge.kernel.vector.Lanes.GROUPS;
import static shoal.bridge.kernel.vector.Lanes.INTS;
import static shoal.bridge.kernel.vector.Lanes.WIDTH;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;
import shoal.bridge.kernel.SumOrder;
import shoal.bridge.kernel.host.HostBuffer;
import shoal.bridge.kernel.host.HostWeights;

/**
 * Any type of blocks. With few tokens, rows are gone over one by one, in steps that each stay in the first cache: the type's own
 * {@link RowLoop}, then {@link BlockSums}, then the sums of blocks times their scales. With many, {@link PanelKernel} takes over.
 */
final class BlockKernel implements MatrixKernel {
    private static final int LANES = SumOrder.LANES;

    private final Unpacker unpacker;
    private final RowLoop loop;
    private final PanelKernel panels;

    BlockKernel(Unpacker unpacker, RowLoop loop) {
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
        BlockSums sums = new BlockSums(columns / HostBuffer.BLOCK, loop.fold());
        float[] lanes = new float[LANES];
        HalfSums halves =
                unpacker.constants() == Unpacker.Constants.PER_HALF ? HalfSums.of(x, tokens * columns) : HalfSums.NONE;
        for (int r = 0; r < rowCount; r++) {
            long offset = (firstRow + r) * w.rowBytes();
            for (int t = 0; t < tokens; t++) {
                loop.multiply(w.bytes(), offset, columns, x.levels16(), t * columns, sums, row);
                add(row, columns / HostBuffer.BLOCK, x, t, halves, sums, lanes);
                out[t * outStride + outColumn + r] = SumOrder.tree(lanes, 0);
            }
        }
    }

    /** Sums of activation levels over the halves of blocks. */
    private record HalfSums(int[] low, int[] high) {
        static final HalfSums NONE = new HalfSums(new int[0], new int[0]);

        /** Of the first columns of all rows together. */
        static HalfSums of(HostBuffer x, int columns) {
            int[] low = new int[columns / HostBuffer.BLOCK];
            int[] high = new int[low.length];
            for (int part = 0; part < low.length; part++) {
                for (int i = 0; i < LANES; i++) {
                    low[part] += x.levels8()[part * HostBuffer.BLOCK + i];
                }
                high[part] = x.levelSums()[part] - low[part];
            }
            return new HalfSums(low, high);
        }
    }

    private void add(
            UnpackedRows row, int parts, HostBuffer x, int token, HalfSums halves, BlockSums sums, float[] lanes) {
        int first = token * parts;
        int[] products = sums.of(loop.bias(), x.levelSums(), first);
        switch (unpacker.constants()) {
            case NONE -> add(products, row.scales, x.scales(), first, parts, lanes);
            case PER_PART ->
                addWithConstants(
                        products, row.scales, x.levelSums(), first, row.constants, x.scales(), first, parts, lanes);
            case PER_HALF ->
                addWithConstants(
                        products,
                        row.scales,
                        sums.ofFactors(halves.low(), halves.high(), first),
                        0,
                        row.constants,
                        x.scales(),
                        first,
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
                FloatVector product =
                        (FloatVector) IntVector.fromArray(INTS, products, part).convert(VectorOperators.I2F, 0);
                sum = product.fma(scale, sum);
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
                FloatVector constant = FloatVector.fromArray(FLOATS, constants, part);
                // no call to a method of ours here: see RowLoop
                FloatVector product =
                        (FloatVector) IntVector.fromArray(INTS, products, part).convert(VectorOperators.I2F, 0);
                FloatVector levels = (FloatVector)
                        IntVector.fromArray(INTS, levelSums, levelSum + part).convert(VectorOperators.I2F, 0);
                sum = levels.mul(activation).fma(constant, product.fma(scale, sum));
            }
            sum.intoArray(lanes, group * WIDTH);
        }
        for (int part = whole; part < parts; part++) {
            int lane = part - whole;
            float activation = others[other + part];
            lanes[lane] = Math.fma((float) products[part], scales[part] * activation, lanes[lane]);
            lanes[lane] = Math.fma((float) levelSums[levelSum + part] * activation, constants[part], lanes[lane]);
        }
    }
}

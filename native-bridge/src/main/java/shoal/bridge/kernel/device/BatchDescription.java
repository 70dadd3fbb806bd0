package shoal.bridge.kernel.device;

import java.lang.foreign.MemorySegment;
import shoal.bridge.kernel.StageBatch;
import shoal.bridge.kernel.StageProgram;

/**
 * What kernels want to know of a batch, as layers.cl says: positions, where each token's page numbers begin, ids, wanted rows, page
 * numbers. Where each part begins depends on the counts of tokens and rows alone.
 *
 * @param tokens that are computed
 * @param rows whose logits are wanted, all tokens if the program gives activations
 * @param idsAt where ids begin
 * @param rowsAt where wanted rows begin
 * @param partitions that attention is launched for, as {@link AttentionLaunches#partitions(int)}
 * @param picks how many of each row's highest logits are looked for, as {@link PickLaunches#count}
 */
record BatchDescription(int tokens, int rows, int idsAt, int rowsAt, int partitions, int picks) {
    private static final int LEAST_BYTES = 1 << 10;

    /** Takes the pages that the batch needs, and copies its description to the device. The batch was checked. */
    static BatchDescription upload(StageBatch batch, StageProgram program, StageResources room, Device device) {
        int tokens = batch.tokenCount();
        int[] given = batch.tokenIds();
        int[] ids = program.readsTokens() && given != null ? given : new int[0];
        int[] wanted = program.givesLogits() ? batch.logitRows() : new int[0];
        int last = batch.slices().stream()
                .mapToInt(slice -> slice.firstPosition() + slice.tokenCount())
                .max()
                .orElse(0);
        var description = new BatchDescription(
                tokens,
                program.givesLogits() ? wanted.length : tokens,
                2 * tokens,
                2 * tokens + ids.length,
                AttentionLaunches.partitions(last),
                program.givesLogits()
                        ? PickLaunches.count(batch.picks(), program.output().width())
                        : 0);
        int pages = reserve(batch, room);
        room.reserveAngles(last);
        int tablesAt = description.rowsAt + wanted.length;
        int[] words = new int[tablesAt + pages];
        System.arraycopy(ids, 0, words, description.idsAt, ids.length);
        System.arraycopy(wanted, 0, words, description.rowsAt, wanted.length);
        int token = 0;
        for (StageBatch.Slice slice : batch.slices()) {
            DeviceSequence sequence = (DeviceSequence) slice.sequence();
            int end = slice.firstPosition() + slice.tokenCount();
            sequence.write(slice.firstPosition(), end);
            for (int i = 0; i < slice.tokenCount(); i++) {
                words[token] = slice.firstPosition() + i;
                words[tokens + token++] = tablesAt;
            }
            for (int page = 0; page < DeviceSequence.pagesFor(end); page++) {
                words[tablesAt++] = sequence.page(page);
            }
        }
        long bytes = Math.max(LEAST_BYTES, Long.highestOneBit((long) words.length * Integer.BYTES) << 1);
        device.write(room.description().reserve(bytes), 0, MemorySegment.ofArray(words));
        return description;
    }

    /** Makes room for all positions; says how many pages the batch's sequences have in all then. */
    private static int reserve(StageBatch batch, StageResources room) {
        int missing = 0;
        int pages = 0;
        for (StageBatch.Slice slice : batch.slices()) {
            DeviceSequence sequence = (DeviceSequence) slice.sequence();
            int end = slice.firstPosition() + slice.tokenCount();
            missing += sequence.pagesMissing(slice.firstPosition(), end);
            pages += DeviceSequence.pagesFor(end);
        }
        room.pool().reserve(missing);
        return pages;
    }
}

package shoal.verticles.piecefetcher;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.channels.FileChannel;
import java.nio.file.StandardOpenOption;
import java.util.List;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.ByteRange;
import shoal.codec.base.MalformedException;
import shoal.codec.gguf.Gguf;
import shoal.codec.gguf.GgufReader;
import shoal.codec.gguf.LayerBytes;
import shoal.codec.metainfo.Pieces;
import shoal.codec.swarm.Bitfield;
import shoal.verticles.bus.Local;
import shoal.verticles.store.StoredFile;

/** Which pieces a part of a file needs, as far as what is here tells: of a model, the header says where the layers lie. Blocking. */
final class PartNeeds {
    private static final long FIRST_BYTES = 256 << 10;

    private PartNeeds() {}

    /** @param isLast whether nothing more is needed when these are here */
    record Need(Bitfield pieces, boolean isLast) {}

    /** @throws MalformedException if it is no model, or has not the layers */
    static Need of(StoredFile file, Local.Part part) throws IOException {
        Pieces pieces = file.metainfo().pieces();
        return switch (part) {
            case Local.Part.Whole() -> new Need(Bitfield.all(pieces.count()), true);
            case Local.Part.Header() -> ofModel(file, pieces, null);
            case Local.Part.Layers layers -> ofModel(file, pieces, layers);
        };
    }

    private static Need ofModel(StoredFile file, Pieces pieces, Local.Part.@Nullable Layers layers) throws IOException {
        int missing = file.verified().nextClear(0);
        long here = missing < 0 ? pieces.length() : pieces.offsetOf(missing);
        if (here == 0) {
            return start(pieces, FIRST_BYTES);
        }
        GgufReader.Start start;
        try (Arena arena = Arena.ofConfined();
                FileChannel channel = FileChannel.open(file.path(), StandardOpenOption.READ)) {
            long size = Math.min(here, GgufReader.MAX_HEADER_BYTES);
            start = GgufReader.readStart(channel.map(FileChannel.MapMode.READ_ONLY, 0, size, arena), pieces.length());
        } catch (MalformedException noModel) {
            throw new MalformedException(
                    noModel.getMessage() + ", so no part of it can be told. Fetch all of it.", noModel);
        }
        return switch (start) {
            case GgufReader.Start.Partial(long needed) -> start(pieces, Math.max(needed, 2 * here));
            case GgufReader.Start.Whole(Gguf model) -> {
                List<ByteRange> ranges = layers == null
                        ? List.of(LayerBytes.header(model))
                        : LayerBytes.of(model, pieces.length(), layers.layers());
                yield new Need(StoredFile.covering(pieces, ranges), true);
            }
        };
    }

    private static Need start(Pieces pieces, long bytes) {
        var range = new ByteRange(0, Math.min(bytes, pieces.length()));
        return new Need(StoredFile.covering(pieces, List.of(range)), false);
    }
}

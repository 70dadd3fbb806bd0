package shoal.verticles.store;

import java.nio.file.Path;
import shoal.codec.base.Hash256;
import shoal.codec.metainfo.Metainfo;
import shoal.codec.swarm.Bitfield;

/**
 * A file as the store had it when asked.
 *
 * @param path where its bytes lie; of a partial file the sparse data file
 * @param verified pieces whose hash was right when they were written or read
 */
public record StoredFile(Path path, Metainfo metainfo, Bitfield verified) {
    public boolean isWhole() {
        return verified.isFull();
    }

    public Hash256 piecesRoot() {
        return metainfo.piecesRoot();
    }
}

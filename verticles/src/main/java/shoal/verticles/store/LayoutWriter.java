package shoal.verticles.store;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;
import shoal.bridge.library.LargePages;
import shoal.codec.base.Hash256;
import shoal.codec.gguf.CopyRange;
import shoal.codec.gguf.FileLayout;
import shoal.codec.metainfo.MerkleTree;
import shoal.codec.metainfo.Metainfo;
import shoal.codec.metainfo.Pieces;

/** Writes new files from plans, and hashes them in the same pass. Safe for several threads. */
final class LayoutWriter {
    private static final int BUFFER_BYTES = LargePages.BYTES; // whole blocks, and the system keeps them in large pages

    private final FileHasher hasher;
    private final AtomicLong count = new AtomicLong();

    LayoutWriter(FileHasher hasher) {
        this.hasher = hasher;
    }

    /** A file that is whole and on disk, beside the place where it is to appear; who takes it moves or deletes it. */
    record Written(Path temporary, Metainfo metainfo) {}

    /**
     * @param place absolute, where the file is to appear
     * @param sources the files that the plan's ranges name by index
     * @throws IOException in one line if that can't be; nothing is left behind then
     */
    Written write(Path place, FileLayout layout, List<Path> sources) throws IOException {
        Path directory = place.getParent();
        Path fileName = place.getFileName();
        if (directory == null || fileName == null || layout.size() == 0) {
            throw new IOException(place + " is no place for a file of " + layout.size() + " bytes");
        }
        Files.createDirectories(directory);
        FileWriter.requireSpace(directory, layout.size(), fileName.toString());
        Path temporary = directory.resolve("."
                + Hash256.sha256(place.toString().getBytes(StandardCharsets.UTF_8))
                        .toShortHex() + "-" + ProcessHandle.current().pid() + "-" + count.getAndIncrement() + ".tmp");
        List<FileChannel> channels = new ArrayList<>();
        try {
            for (Path source : sources) {
                channels.add(FileChannel.open(source, StandardOpenOption.READ));
            }
            try (FileChannel out =
                    FileChannel.open(temporary, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
                MerkleTree.Result tree = copy(layout, channels, sources, out);
                out.force(true);
                return new Written(temporary, FileHasher.named(fileName.toString(), tree));
            }
        } catch (Throwable failure) {
            Files.deleteIfExists(temporary);
            throw failure;
        } finally {
            for (FileChannel channel : channels) {
                channel.close();
            }
        }
    }

    private MerkleTree.Result copy(FileLayout layout, List<FileChannel> channels, List<Path> sources, FileChannel out)
            throws IOException {
        MerkleTree tree = new MerkleTree(Pieces.of(layout.size()));
        ByteBuffer buffer = ByteBuffer.allocateDirect(BUFFER_BYTES);
        int next = 0; // the first range that does not end before the buffer
        for (long at = 0; at < layout.size(); at += BUFFER_BYTES) {
            long end = Math.min(layout.size(), at + BUFFER_BYTES);
            buffer.clear();
            while (at + buffer.position() < end) {
                long position = at + buffer.position();
                CopyRange range =
                        next < layout.ranges().size() ? layout.ranges().get(next) : null;
                if (position < layout.header().length) {
                    int size = (int) (Math.min(end, layout.header().length) - position);
                    buffer.put(layout.header(), (int) position, size);
                } else if (range != null && range.targetEnd() <= position) {
                    next++;
                } else if (range != null && range.targetOffset() <= position) {
                    int size = (int) (Math.min(end, range.targetEnd()) - position);
                    ByteBuffer part = buffer.slice(buffer.position(), size);
                    int source = range.sourceFile();
                    FileWriter.readFully(
                            channels.get(source),
                            part,
                            range.sourceOffset() + position - range.targetOffset(),
                            sources.get(source));
                    buffer.position(buffer.position() + size);
                } else {
                    long stop = Math.min(end, range == null ? end : range.targetOffset());
                    while (at + buffer.position() < stop) {
                        buffer.put((byte) 0);
                    }
                }
            }
            buffer.flip();
            FileWriter.writeFully(out, buffer, at);
            hasher.add(tree, buffer.flip());
        }
        return tree.finish();
    }
}

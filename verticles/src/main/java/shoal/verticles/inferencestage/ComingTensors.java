package shoal.verticles.inferencestage;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.MemorySegment;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import shoal.bridge.model.ModelFile;
import shoal.bridge.model.TensorSource;
import shoal.codec.base.LayerRange;
import shoal.codec.gguf.Gguf;
import shoal.codec.gguf.TensorInfo;
import shoal.verticles.bus.Local;

/**
 * The tensors of a file that is still being fetched: each is given as soon as it is here, so a stage that takes its layers in their
 * order has taken over the first ones while later ones are on their way. Whoever takes one waits.
 */
final class ComingTensors implements TensorSource {
    private static final Pattern LAYER = Pattern.compile("blk\\.([0-9]{1,5})\\..*");

    private final ModelFile file;
    private final LayerRange layers;
    private final Local.Coming coming;
    private int ready;

    ComingTensors(ModelFile file, LayerRange layers, Local.Coming coming) {
        this.file = file;
        this.layers = layers;
        this.coming = coming;
    }

    @Override
    public Gguf header() {
        return file.header();
    }

    @Override
    public MemorySegment tensor(TensorInfo tensor) {
        Matcher name = LAYER.matcher(tensor.name());
        if (name.matches()) {
            tell(Integer.parseInt(name.group(1)) - layers.first());
        }
        try {
            coming.await(header().fileOffset(tensor), tensor.sizeBytes());
        } catch (IOException notComing) {
            throw new UncheckedIOException(notComing);
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("loading layers " + layers + " was interrupted", interrupted);
        }
        return file.tensor(tensor);
    }

    /** A tensor of a later layer is asked for: those before it are taken over. */
    private void tell(int before) {
        if (before > ready && before <= layers.count()) {
            ready = before;
            coming.layersReady(before);
        }
    }
}

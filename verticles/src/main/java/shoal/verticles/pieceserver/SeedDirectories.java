package shoal.verticles.pieceserver;

import io.vertx.core.Future;
import io.vertx.core.Vertx;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import shoal.codec.base.Hash256;
import shoal.codec.base.MalformedException;
import shoal.verticles.store.ShardStore;
import shoal.verticles.store.StoredFile;

/**
 * The directories whose files are handed out, and single files that are: those that are put there while the process runs are hashed
 * and seeded too, those that are changed again under their new hash, those that are taken away no longer. On the verticle's context; the looking and hashing on workers.
 */
final class SeedDirectories {
    private static final Logger LOG = LoggerFactory.getLogger(SeedDirectories.class);
    private static final long LOOK_MILLIS = 500;

    private final Vertx vertx;
    private final ShardStore store;
    private final Catalog catalog;
    private final SeedWatch watch;
    private final Map<Path, Hash256> watched = new HashMap<>();
    private final Set<String> complained = ConcurrentHashMap.newKeySet();
    private boolean looking;

    SeedDirectories(
            Vertx vertx, ShardStore store, Catalog catalog, Collection<Path> directories, Collection<Path> files) {
        this.vertx = vertx;
        this.store = store;
        this.catalog = catalog;
        watch = new SeedWatch(List.copyOf(directories), List.copyOf(files));
    }

    /** Hashes what is there now, and looks again from then on. */
    Future<Void> start() {
        return vertx.executeBlocking(() -> {
                    var here = store.list();
                    return new First(here, adopt(watch.first().settled()));
                })
                .map(first -> {
                    var found = new ArrayList<>(first.here);
                    found.forEach(file -> watched.put(file.path(), file.piecesRoot()));
                    for (Adopted file : first.adopted) {
                        found.add(file.stored());
                        watched.put(file.watched(), file.stored().piecesRoot());
                    }
                    found.sort(Comparator.comparing(file -> file.metainfo().name()));
                    catalog.addAtStart(found);
                    vertx.setPeriodic(LOOK_MILLIS, _ -> look());
                    return null;
                });
    }

    private record First(List<StoredFile> here, List<Adopted> adopted) {}

    private record Adopted(Path watched, StoredFile stored) {}

    private void look() {
        if (looking) {
            return;
        }
        looking = true;
        vertx.executeBlocking(() -> {
                    store.sweep();
                    SeedWatch.Change change = watch.look();
                    List<Adopted> adopted = adopt(change.settled());
                    return new Looked(change, adopted);
                })
                .onComplete(result -> {
                    looking = false;
                    if (result.succeeded()) {
                        result.result().change.gone().forEach(this::lost);
                        result.result().adopted.forEach(file -> {
                            Hash256 before =
                                    watched.put(file.watched(), file.stored().piecesRoot());
                            if (before != null && !before.equals(file.stored().piecesRoot())) {
                                catalog.forget(before);
                            }
                            catalog.add(file.stored());
                        });
                    } else {
                        LOG.warn(
                                "cannot look into the seed directory: {}",
                                result.cause().toString());
                    }
                });
    }

    private record Looked(SeedWatch.Change change, List<Adopted> adopted) {}

    /** On a worker. */
    private List<Adopted> adopt(List<Path> files) {
        var adopted = new ArrayList<Adopted>();
        for (Path file : files) {
            try {
                adopted.add(new Adopted(file, store.adopt(file)));
            } catch (MalformedException refused) {
                LOG.warn("{} is not seeded: {}", file, refused.getMessage());
            } catch (IOException changing) { // or not readable: looked at again
                if (complained.add(file + ": " + changing.getMessage())) {
                    LOG.warn("{} is not seeded yet: {}", file, changing.toString());
                }
                watch.forget(file);
            }
        }
        return adopted;
    }

    private void lost(Path file) {
        Hash256 root = watched.remove(file);
        if (root == null) {
            return;
        }
        vertx.executeBlocking(
                        () -> {
                            var stored = store.find(root);
                            boolean isIt = stored.isPresent()
                                    && stored.get().isWhole()
                                    && !Files.exists(stored.get().path());
                            if (isIt) {
                                store.remove(root);
                            }
                            return isIt || stored.isEmpty();
                        },
                        false)
                .onSuccess(gone -> {
                    if (gone) {
                        catalog.forget(root);
                        watched.entrySet()
                                .removeIf(
                                        entry -> { // the same bytes under another name
                                            boolean same = entry.getValue().equals(root);
                                            if (same) {
                                                watch.forget(entry.getKey());
                                            }
                                            return same;
                                        });
                    }
                });
    }
}

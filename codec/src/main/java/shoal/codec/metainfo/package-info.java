/** What a file is: BitTorrent v2 hashes (BEP 52), torrents, magnet links, and the manifest of a model's shards. */
@NullMarked
package shoal.codec.metainfo;

import org.jspecify.annotations.NullMarked;

/** Carries out LOAD_SHARD: finds the shard, has it fetched, has its layers opened, and tells everybody. */
@NullMarked
package shoal.verticles.shardloader;

import org.jspecify.annotations.NullMarked;

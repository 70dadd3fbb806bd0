package shoal.verticles.shardloader;

import org.jspecify.annotations.Nullable;
import shoal.codec.command.Command;
import shoal.verticles.bus.Local;

/** How far one fetch is and how long it will take, told about once a second. For one thread. */
final class ProgressMeter {
    private Local.@Nullable FetchProgress latest;
    private long toldBytes = -1;
    private double bytesPerSecond;

    /** Takes news; says whether they are the first. */
    boolean heard(Local.FetchProgress news) {
        boolean first = latest == null;
        latest = news;
        return first;
    }

    /** What is to be told now, a second after it was told before; null while nothing is known. */
    Command.@Nullable ShardProgress tell(int shardId, @Nullable Integer layersReady) {
        Local.FetchProgress now = latest;
        if (now == null) {
            return null;
        }
        long verified = now.verifiedBytes();
        bytesPerSecond = toldBytes < 0
                ? now.bytesPerSecond()
                : (bytesPerSecond + Math.max(0, verified - toldBytes)) / 2; // of another part when that was the header
        toldBytes = verified;
        double seconds = (now.size() - verified) / bytesPerSecond;
        boolean known = bytesPerSecond > 0 && seconds <= Command.ShardProgress.MAX_SECONDS_LEFT;
        return new Command.ShardProgress(
                shardId, verified, now.size(), known ? (Integer) (int) Math.ceil(seconds) : null, layersReady);
    }
}

package shoal.verticles.inferencestage;

import java.util.LinkedHashMap;
import java.util.Map;
import shoal.codec.base.Hash256;
import shoal.codec.base.NodeId;
import shoal.codec.command.Command;

/** The latest term under which anybody has given work for each model, and who that was: what is older is refused. One event loop. */
final class Terms {
    private static final int MAX_MODELS = 1024;

    private final Map<Hash256, Held> latest = new LinkedHashMap<>();

    private record Held(int number, NodeId coordinator) {}

    /** @return 0 if the task may be carried out, else the term that outranks it */
    int outranks(Command.ExecuteTask task) {
        Command.Term term = task.term();
        NodeId coordinator = task.coordinator().id();
        Held held = latest.get(term.model());
        if (held != null
                && (term.number() < held.number()
                        || (term.number() == held.number()
                                && !held.coordinator().equals(coordinator)))) {
            return held.number();
        }
        latest.remove(term.model());
        latest.put(term.model(), new Held(term.number(), coordinator));
        if (latest.size() > MAX_MODELS) {
            latest.remove(latest.keySet().iterator().next());
        }
        return 0;
    }
}

package shoal.codec.pipeline;

import java.util.ArrayList;
import java.util.List;
import java.util.SortedSet;
import java.util.TreeSet;

/** Neighbouring stages, from first to last, that took over together. */
record Group(int first, int last) {
    static List<Group> of(SortedSet<Integer> stages) {
        var groups = new ArrayList<Group>();
        for (int stage : stages) {
            if (!groups.isEmpty() && groups.getLast().last() == stage - 1) {
                groups.add(new Group(groups.removeLast().first(), stage));
            } else {
                groups.add(new Group(stage, stage));
            }
        }
        return List.copyOf(groups);
    }

    /** What an earlier stand-in still lacks is not forgotten when another stage is lost meanwhile. */
    static List<Group> join(List<Group> lacking, List<Group> more) {
        if (lacking.isEmpty()) {
            return more;
        }
        var stages = new TreeSet<Integer>();
        lacking.forEach(group -> group.addTo(stages));
        more.forEach(group -> group.addTo(stages));
        return of(stages);
    }

    private void addTo(SortedSet<Integer> stages) {
        for (int stage = first; stage <= last; stage++) {
            stages.add(stage);
        }
    }
}

package shoal.codec.dht;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import shoal.codec.base.Contact;
import shoal.codec.base.NodeId;

/**
 * Up to {@link #K} contacts at one distance, least recently seen first, and as many replacements that wait. Who has long been
 * there stays while it answers (paper, sections 2.2 and 4.1). Bounded, whatever comes in.
 */
final class KBucket {
    /** So many contacts that they will hardly all fail within an hour (paper, section 2.1). */
    static final int K = 20;

    /** Silences in a row after which a contact goes even if nobody waits for its place. */
    static final int MAX_FAILURES = 3;

    private static final class Entry {
        Contact contact;
        long seenNanos;
        boolean answered;
        int failures;

        Entry(Contact contact, long seenNanos, boolean answered) {
            this.contact = contact;
            this.seenNanos = seenNanos;
            this.answered = answered;
        }
    }

    private final List<Entry> entries = new ArrayList<>();
    private final List<Entry> replacements = new ArrayList<>();

    /**
     * A peer whose id is proven was heard.
     *
     * @param answered it answered us at these endpoints; false: it came to us and says that it is reached there
     * @return whom to ask for life before the newcomer may have its place; empty where no such question arises
     */
    Optional<Contact> seen(Contact contact, boolean answered, long nowNanos) {
        int index = indexOf(entries, contact.id());
        if (index >= 0) {
            Entry entry = entries.remove(index);
            entry.contact = contact;
            entry.seenNanos = nowNanos;
            entry.answered |= answered;
            entry.failures = answered ? 0 : entry.failures;
            entries.add(entry);
            return Optional.empty();
        }
        int waiting = indexOf(replacements, contact.id());
        boolean answeredBefore = waiting >= 0 && replacements.remove(waiting).answered;
        var entry = new Entry(contact, nowNanos, answered || answeredBefore);
        if (entries.size() < K) {
            entries.add(entry);
            return Optional.empty();
        }
        if (entry.answered) {
            for (int i = 0; i < K; i++) {
                if (!entries.get(i).answered) {
                    entries.remove(i);
                    entries.add(entry);
                    return Optional.empty();
                }
            }
        }
        if (replacements.size() == K) {
            replacements.removeFirst();
        }
        replacements.add(entry);
        return Optional.of(entries.getFirst().contact);
    }

    /** A question to the contact brought no answer: it goes if it never answered, if somebody waits, or after several. */
    void failed(NodeId id) {
        int waiting = indexOf(replacements, id);
        if (waiting >= 0) {
            replacements.remove(waiting);
        }
        int index = indexOf(entries, id);
        if (index < 0) {
            return;
        }
        Entry entry = entries.get(index);
        entry.failures++;
        if (!entry.answered || !replacements.isEmpty() || entry.failures >= MAX_FAILURES) {
            entries.remove(index);
            if (!replacements.isEmpty()) {
                entries.add(replacements.removeLast());
            }
        }
    }

    boolean contains(NodeId id) {
        return indexOf(entries, id) >= 0;
    }

    /** Whether the contact ever answered us. */
    boolean hasAnswered(NodeId id) {
        int index = indexOf(entries, id);
        return index >= 0 && entries.get(index).answered;
    }

    int size() {
        return entries.size();
    }

    int replacementCount() {
        return replacements.size();
    }

    /** Least recently seen first. */
    List<Contact> contacts() {
        return entries.stream().map(entry -> entry.contact).toList();
    }

    /** Those not heard since a time. */
    List<Contact> staleSince(long nanos) {
        return entries.stream()
                .filter(entry -> entry.seenNanos < nanos)
                .map(entry -> entry.contact)
                .toList();
    }

    private static int indexOf(List<Entry> list, NodeId id) {
        for (int i = 0; i < list.size(); i++) {
            if (list.get(i).contact.id().equals(id)) {
                return i;
            }
        }
        return -1;
    }
}

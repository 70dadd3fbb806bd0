package shoal.codec.dht;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.function.Predicate;
import java.util.random.RandomGenerator;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.Bounds;
import shoal.codec.base.Contact;
import shoal.codec.base.Endpoint;
import shoal.codec.base.Hash256;
import shoal.codec.base.Machine;
import shoal.codec.base.NodeId;
import shoal.codec.wire.ErrorCode;
import shoal.codec.wire.Frame;
import shoal.codec.wire.ProviderRecord;
import shoal.codec.wire.SignedRecord;

/**
 * A whole DHT node: joins, answers, looks up, announces. Knows peers only by ids that the transport has proven; endpoints that
 * others tell are hints until the node there has answered. Everything works from two nodes on, and from the first second.
 */
public final class Dht implements Machine<Dht.Input, Dht.Effect> {
    /** A question without answer has failed by then. */
    public static final long REQUEST_TIMEOUT_NANOS = 5_000_000_000L;

    public static final long FIRST_RETRY_NANOS = 500_000_000L;
    public static final long MAX_RETRY_NANOS = 15_000_000_000L;

    /** Tries of all bootstrap endpoints, with growing pauses, before {@link BootstrapFailed}: about a minute. */
    public static final int MAX_BOOTSTRAP_TRIES = 9;

    public static final int MAX_QUERIES = 1024;

    private static final long FIRST_REFRESH_NANOS = 30_000_000_000L;
    private static final long MAX_REFRESH_NANOS = 600_000_000_000L;
    private static final long EXPIRY_CHECK_NANOS = 60_000_000_000L;
    private static final int MAX_LIFE_CHECKS = 64;
    private static final int MAX_RUNNING_ANNOUNCEMENTS = 8;
    private static final int MAX_HANDED_OVER = 256;
    private static final int MAX_RECORDS_PER_QUERY = 4096;

    /** What can happen. */
    public sealed interface Input {}

    /** Join by these addresses. None: be the first node. */
    public record Bootstrap(List<Endpoint> endpoints, boolean keepTrying) implements Input {
        public Bootstrap {
            endpoints = List.copyOf(endpoints);
        }
    }

    /** A peer, proven to be from, asks; endpoints are where it says it is reached, none for one that cannot be asked. */
    public record Received(NodeId from, List<Endpoint> endpoints, long requestId, Frame request) implements Input {
        public Received {
            endpoints = List.copyOf(endpoints);
        }
    }

    /** The answer to our question, and who gave it, proven. */
    public record Answered(long requestId, NodeId from, Frame response) implements Input {}

    /** Our question could not be asked or answered. */
    public record Failed(long requestId) implements Input {}

    /** Tell the world that we provide the key, now and until withdrawn. Again with another payload: replaces it. */
    public record Announce(Hash256 key, byte[] payload) implements Input {
        public Announce {
            Bounds.requireRange("payload size", payload.length, 0, ProviderRecord.MAX_PAYLOAD_BYTES);
        }
    }

    public record Withdraw(Hash256 key) implements Input {}

    /** Who provides the key? Query ids are the caller's, each used once at a time. */
    public record FindProviders(Hash256 key, long queryId) implements Input {}

    /** Who is closest to the target? */
    public record FindNode(Hash256 target, long queryId) implements Input {}

    /** The query's answers are no longer wanted. */
    public record StopQuery(long queryId) implements Input {}

    /** We are reached elsewhere now; what is announced will be told again. */
    public record Moved(List<Endpoint> endpoints) implements Input {
        public Moved {
            endpoints = List.copyOf(endpoints);
        }
    }

    /** The deadline has come. */
    public record Tick() implements Input {}

    /** What to do. */
    public sealed interface Effect {}

    /** Ask the contact; who answers must be it. */
    public record Ask(long requestId, Contact contact, Frame request) implements Effect {}

    /** Ask whoever is there. */
    public record AskEndpoint(long requestId, Endpoint endpoint, Frame request) implements Effect {}

    public record Respond(long requestId, Frame response) implements Effect {}

    /** Records new to the query, all verified; newer ones of the same provider replace older ones. */
    public record ProvidersFound(long queryId, Hash256 key, List<SignedRecord> records) implements Effect {}

    /** The closest nodes that live, closest first; ends the query. */
    public record NodesFound(long queryId, List<Contact> closest) implements Effect {}

    /** No more providers will be found; how many were. */
    public record QueryDone(long queryId, int providerCount) implements Effect {}

    /** So many nodes, without this one, keep the record. Told after each republishing too. */
    public record Announced(Hash256 key, int holderCount) implements Effect {}

    /** Joined; so many contacts are known. */
    public record Bootstrapped(int contactCount) implements Effect {}

    /** No bootstrap endpoint has answered yet; the next try comes after the pause. */
    public record BootstrapWaiting(int tries, long pauseNanos) implements Effect {}

    /** None answered in so many tries. Said once; with keepTrying it goes on trying. */
    public record BootstrapFailed(int tries) implements Effect {}

    private sealed interface Purpose {}

    private record Join() implements Purpose {}

    private record LifeCheck() implements Purpose {}

    private record Step(Operation operation) implements Purpose {}

    private record Store(@Nullable Telling telling) implements Purpose {}

    private record Pending(
            @Nullable Contact contact, @Nullable Endpoint endpoint, long deadlineNanos, Purpose purpose) {}

    /** How one record spreads to the nodes closest to its key. */
    private static final class Telling {
        final Hash256 key;
        int open;
        int kept;

        Telling(Hash256 key) {
            this.key = key;
        }
    }

    private sealed interface Goal {}

    private record Refresh(boolean first) implements Goal {}

    private record Tell(Hash256 key) implements Goal {}

    private record NodeQuery(long queryId) implements Goal {}

    private record ProviderQuery(long queryId, Hash256 key, Map<NodeId, SignedRecord> found) implements Goal {}

    private static final class Operation {
        final Lookup lookup;
        final Goal goal;

        Operation(Lookup lookup, Goal goal) {
            this.lookup = lookup;
            this.goal = goal;
        }
    }

    private enum Joining {
        NOT_ASKED,
        TRYING,
        PAUSING,
        LOOKING,
        JOINED,
        GIVEN_UP
    }

    private final NodeId self;
    private final long epochSecondsAtZero;
    private final RandomGenerator random;
    private final Function<ProviderRecord, SignedRecord> signer;
    private final RoutingTable table;
    private final RecordStore store;
    private final Republisher republisher;

    private final LinkedHashMap<Long, Pending> pending = new LinkedHashMap<>();
    private final Set<Operation> operations = new LinkedHashSet<>();
    private final Map<Long, Operation> queries = new HashMap<>();
    private final Set<Long> waitingQueries = new LinkedHashSet<>();
    private final Set<NodeId> checkedForLife = new HashSet<>();
    private final List<Effect> effects = new ArrayList<>();

    private List<Endpoint> ownEndpoints;
    private List<Endpoint> bootstrapEndpoints = List.of();
    private boolean keepTrying;
    private boolean failureTold;
    private Joining joining = Joining.NOT_ASKED;
    private int tries;
    private int openTries;
    private long retryNanos = Long.MAX_VALUE;
    private long refreshNanos = Long.MAX_VALUE;
    private long refreshPauseNanos = FIRST_REFRESH_NANOS;
    private long expiryNanos;
    private long nextRequestId = 1;
    private long lastIssuedSeconds;
    private long nowNanos;

    /**
     * @param ownEndpoints where others reach this node; may be empty until {@link Moved}, and nothing is told before
     * @param epochSecondsAtZero seconds since 1970 when nowNanos was 0
     * @param signer signs with this node's key
     */
    public Dht(
            NodeId self,
            List<Endpoint> ownEndpoints,
            long epochSecondsAtZero,
            RandomGenerator random,
            Function<ProviderRecord, SignedRecord> signer) {
        this(self, ownEndpoints, epochSecondsAtZero, random, signer, SignedRecord::isAuthentic);
    }

    Dht(
            NodeId self,
            List<Endpoint> ownEndpoints,
            long epochSecondsAtZero,
            RandomGenerator random,
            Function<ProviderRecord, SignedRecord> signer,
            Predicate<SignedRecord> authentic) {
        this.self = self;
        this.ownEndpoints = List.copyOf(ownEndpoints);
        this.epochSecondsAtZero = epochSecondsAtZero;
        this.random = random;
        this.signer = signer;
        table = new RoutingTable(self);
        store = new RecordStore(self, authentic);
        republisher = new Republisher(random);
    }

    public NodeId self() {
        return self;
    }

    public int contactCount() {
        return table.size();
    }

    public int recordCount() {
        return store.size();
    }

    @Override
    public List<Effect> handle(Input input, long now) {
        nowNanos = now;
        effects.clear();
        switch (input) {
            case Bootstrap(List<Endpoint> endpoints, boolean keep) -> {
                bootstrapEndpoints = endpoints;
                keepTrying = keep;
                failureTold = false;
                tries = 0;
                tryBootstrap();
            }
            case Received(NodeId from, List<Endpoint> endpoints, long requestId, Frame request) -> {
                effects.add(new Respond(requestId, answer(request, from)));
                heardFrom(from, endpoints);
            }
            case Answered(long requestId, NodeId from, Frame response) -> answered(requestId, from, response);
            case Failed(long requestId) -> failed(requestId);
            case Announce(Hash256 key, byte[] payload) -> republisher.add(key, payload, now);
            case Withdraw(Hash256 key) -> withdraw(key);
            case FindProviders(Hash256 key, long queryId) ->
                startQuery(queryId, key, new ProviderQuery(queryId, key, new HashMap<>()));
            case FindNode(Hash256 target, long queryId) -> startQuery(queryId, target, new NodeQuery(queryId));
            case StopQuery(long queryId) -> stopQuery(queryId);
            case Moved(List<Endpoint> endpoints) -> {
                ownEndpoints = endpoints;
                republisher.allDue(now);
            }
            case Tick() -> {}
        }
        whatIsDue();
        return effects;
    }

    @Override
    public long deadlineNanos() {
        long deadline = Math.min(retryNanos, Math.min(refreshNanos, store.size() > 0 ? expiryNanos : Long.MAX_VALUE));
        if (!pending.isEmpty()) {
            deadline = Math.min(deadline, pending.firstEntry().getValue().deadlineNanos);
        }
        for (Operation operation : operations) {
            deadline = Math.min(deadline, operation.lookup.deadlineNanos());
        }
        if (mayTell()) {
            deadline = Math.min(deadline, republisher.deadlineNanos());
        }
        return deadline;
    }

    // ---------------------------------------------------------------------------------------- answering others

    private Frame answer(Frame request, NodeId from) {
        return switch (request) {
            case Frame.Ping() -> new Frame.Pong();
            case Frame.FindNode(Hash256 target) -> new Frame.Nodes(closestFor(target, from));
            case Frame.FindProviders(Hash256 key) ->
                new Frame.Providers(store.find(key, nowSeconds(), Frame.MAX_RECORDS, random), closestFor(key, from));
            case Frame.AddProvider(SignedRecord record) -> new Frame.ProviderAdded(store.add(record, nowSeconds()));
            case Frame other -> new Frame.Refused(ErrorCode.UNSUPPORTED, "the DHT does not answer " + other.type());
        };
    }

    private List<Contact> closestFor(Hash256 target, NodeId from) {
        return table.closest(target, KBucket.K + 1).stream()
                .filter(contact -> !contact.id().equals(from))
                .limit(KBucket.K)
                .toList();
    }

    private void heardFrom(NodeId from, List<Endpoint> endpoints) {
        if (endpoints.isEmpty() || endpoints.size() > Contact.MAX_ENDPOINTS || from.equals(self)) {
            return;
        }
        var contact = new Contact(from, endpoints);
        Optional<Contact> oldest = table.seen(contact, false, nowNanos);
        oldest.ifPresent(this::checkLife);
        if (!table.hasAnswered(from) && (table.contains(from) || oldest.isPresent())) {
            checkLife(contact);
        }
    }

    private void checkLife(Contact contact) {
        if (checkedForLife.size() < MAX_LIFE_CHECKS && checkedForLife.add(contact.id())) {
            ask(contact, new Frame.Ping(), new LifeCheck());
        }
    }

    // -------------------------------------------------------------------------------------------- asking others

    private void ask(Contact contact, Frame request, Purpose purpose) {
        long id = nextRequestId++;
        pending.put(id, new Pending(contact, null, nowNanos + REQUEST_TIMEOUT_NANOS, purpose));
        effects.add(new Ask(id, contact, request));
    }

    private void answered(long requestId, NodeId from, Frame response) {
        Pending question = pending.remove(requestId);
        if (question == null) {
            return;
        }
        Contact asked = question.contact;
        if (asked != null && !asked.id().equals(from)) {
            lost(question);
            return;
        }
        if (asked == null) {
            if (question.endpoint == null) {
                throw new IllegalStateException("a question without addressee");
            }
            asked = new Contact(from, List.of(question.endpoint));
        }
        if (!from.equals(self)) {
            learnLiving(asked);
        }
        Contact contact = asked;
        switch (question.purpose) {
            case Join() -> joinAnswered(contact, response);
            case LifeCheck() -> checkedForLife.remove(from);
            case Store(Telling telling) ->
                stored(telling, response instanceof Frame.ProviderAdded(boolean kept) && kept);
            case Step(Operation operation) -> {
                List<Contact> closer = switch (response) {
                    case Frame.Nodes(List<Contact> contacts) -> contacts;
                    case Frame.Providers(List<SignedRecord> records, List<Contact> contacts) -> {
                        if (operation.goal instanceof ProviderQuery query && operations.contains(operation)) {
                            found(query, records);
                        }
                        yield contacts;
                    }
                    case Frame _ -> List.of();
                };
                advance(operation, new Lookup.Answered(from, closer));
            }
        }
    }

    private void learnLiving(Contact contact) {
        boolean isNew = !table.hasAnswered(contact.id());
        table.seen(contact, true, nowNanos).ifPresent(this::checkLife);
        if (isNew && table.hasAnswered(contact.id())) {
            handOver(contact);
        }
    }

    private void failed(long requestId) {
        Pending question = pending.remove(requestId);
        if (question != null) {
            lost(question);
        }
    }

    private void lost(Pending question) {
        Contact contact = question.contact;
        if (contact != null) {
            table.failed(contact.id());
        }
        switch (question.purpose) {
            case Join() -> joinFailed();
            case LifeCheck() -> {
                if (contact != null) {
                    checkedForLife.remove(contact.id());
                }
            }
            case Store(Telling telling) -> stored(telling, false);
            case Step(Operation operation) -> {
                if (contact != null) {
                    advance(operation, new Lookup.Failed(contact.id()));
                }
            }
        }
    }

    // ------------------------------------------------------------------------------------------------- lookups

    private Operation start(Hash256 target, Goal goal) {
        var operation = new Operation(new Lookup(target, self, table.closest(target, KBucket.K)), goal);
        operations.add(operation);
        return operation;
    }

    private void advance(Operation operation, Lookup.Input input) {
        if (!operations.contains(operation)) {
            return;
        }
        for (Lookup.Effect effect : operation.lookup.handle(input, nowNanos)) {
            switch (effect) {
                case Lookup.Ask(Contact contact) -> {
                    Frame question = operation.goal instanceof ProviderQuery
                            ? new Frame.FindProviders(operation.lookup.target())
                            : new Frame.FindNode(operation.lookup.target());
                    ask(contact, question, new Step(operation));
                }
                case Lookup.Done(List<Contact> closest) -> {
                    operations.remove(operation);
                    reached(operation.goal, closest);
                }
            }
        }
    }

    private void reached(Goal goal, List<Contact> closest) {
        switch (goal) {
            case Refresh(boolean first) -> {
                if (first && joining == Joining.LOOKING) {
                    joined();
                }
            }
            case Tell(Hash256 key) -> tell(key, closest);
            case NodeQuery(long queryId) -> {
                queries.remove(queryId);
                effects.add(new NodesFound(queryId, closest));
            }
            case ProviderQuery(long queryId, Hash256 _, Map<NodeId, SignedRecord> found) -> {
                queries.remove(queryId);
                effects.add(new QueryDone(queryId, found.size()));
            }
        }
    }

    private void startQuery(long queryId, Hash256 target, Goal goal) {
        if (queries.size() >= MAX_QUERIES || queries.containsKey(queryId)) {
            throw new IllegalStateException("query " + queryId + " is known, or queries are more than " + MAX_QUERIES);
        }
        boolean mustWait = joining == Joining.TRYING || joining == Joining.PAUSING || joining == Joining.LOOKING;
        var operation = new Operation(new Lookup(target, self, table.closest(target, KBucket.K)), goal);
        operations.add(operation);
        queries.put(queryId, operation);
        if (goal instanceof ProviderQuery query) {
            found(query, store.find(query.key, nowSeconds(), RecordStore.MAX_PER_KEY, random));
        }
        if (mustWait) {
            waitingQueries.add(queryId);
            operations.remove(operation);
        } else {
            advance(operation, new Lookup.Start());
        }
    }

    /** Those that came before there was anybody to ask. */
    private void startWaitingQueries() {
        List<Long> waiting = List.copyOf(waitingQueries);
        waitingQueries.clear();
        for (long queryId : waiting) {
            Operation old = queries.get(queryId);
            if (old != null) {
                Operation operation = start(old.lookup.target(), old.goal);
                queries.put(queryId, operation);
                advance(operation, new Lookup.Start());
            }
        }
    }

    private void stopQuery(long queryId) {
        waitingQueries.remove(queryId);
        Operation operation = queries.remove(queryId);
        if (operation != null) {
            operations.remove(operation);
        }
    }

    private void found(ProviderQuery query, List<SignedRecord> records) {
        var fresh = new ArrayList<SignedRecord>();
        for (SignedRecord signed : records) {
            NodeId provider = signed.record().provider().id();
            SignedRecord known = query.found.get(provider);
            boolean newer = known == null
                    ? query.found.size() < MAX_RECORDS_PER_QUERY
                    : signed.record().issuedAtSeconds() > known.record().issuedAtSeconds();
            if (newer
                    && signed.record().key().equals(query.key)
                    && signed.record().expiresAtSeconds() > nowSeconds()
                    && store.isValid(signed, nowSeconds())) {
                query.found.put(provider, signed);
                fresh.add(signed);
            }
        }
        if (!fresh.isEmpty()) {
            effects.add(new ProvidersFound(query.queryId, query.key, List.copyOf(fresh)));
        }
    }

    // ----------------------------------------------------------------------------------------------- announcing

    private boolean mayTell() {
        return !ownEndpoints.isEmpty() && republisher.runningCount() < MAX_RUNNING_ANNOUNCEMENTS;
    }

    private void announceDue() {
        if (!mayTell()) {
            return;
        }
        int places = MAX_RUNNING_ANNOUNCEMENTS - republisher.runningCount();
        for (Hash256 key : republisher.takeDue(nowNanos, places)) {
            keepOwn(key);
            advance(start(key, new Tell(key)), new Lookup.Start());
        }
    }

    /** Our own record, signed anew, in our own store. */
    private @Nullable SignedRecord keepOwn(Hash256 key) {
        byte[] payload = republisher.payload(key);
        if (payload == null || ownEndpoints.isEmpty()) {
            return null;
        }
        SignedRecord signed = sign(key, payload, Republisher.LIFETIME_SECONDS);
        store.add(signed, nowSeconds());
        return signed;
    }

    private SignedRecord sign(Hash256 key, byte[] payload, long lifetimeSeconds) {
        long issued = Math.max(nowSeconds(), lastIssuedSeconds + 1);
        issued = Math.min(issued, nowSeconds() + RecordStore.MAX_SKEW_SECONDS / 2);
        lastIssuedSeconds = issued;
        List<Endpoint> endpoints = ownEndpoints.subList(0, Math.min(Contact.MAX_ENDPOINTS, ownEndpoints.size()));
        return signer.apply(
                new ProviderRecord(key, new Contact(self, endpoints), payload, issued, issued + lifetimeSeconds));
    }

    private void tell(Hash256 key, List<Contact> closest) {
        var telling = new Telling(key);
        SignedRecord own = ownRecord(key);
        if (own != null) {
            for (Contact contact : closest) {
                telling.open++;
                ask(contact, new Frame.AddProvider(own), new Store(telling));
            }
        }
        if (telling.open == 0) {
            told(telling);
        }
    }

    private @Nullable SignedRecord ownRecord(Hash256 key) {
        if (republisher.payload(key) == null) {
            return null;
        }
        for (SignedRecord signed : store.find(key, nowSeconds(), RecordStore.MAX_PER_KEY, random)) {
            if (signed.record().provider().id().equals(self)) {
                return signed;
            }
        }
        return keepOwn(key);
    }

    private void stored(@Nullable Telling telling, boolean kept) {
        if (telling != null) {
            telling.open--;
            telling.kept += kept ? 1 : 0;
            if (telling.open == 0) {
                told(telling);
            }
        }
    }

    private void told(Telling telling) {
        republisher.told(telling.key, telling.kept, nowNanos);
        if (republisher.payload(telling.key) != null) {
            effects.add(new Announced(telling.key, telling.kept));
        }
    }

    private void withdraw(Hash256 key) {
        if (republisher.remove(key) && !ownEndpoints.isEmpty()) {
            SignedRecord withdrawal = sign(key, new byte[0], 0);
            store.add(withdrawal, nowSeconds());
            for (Contact contact : table.closest(key, KBucket.K)) {
                ask(contact, new Frame.AddProvider(withdrawal), new Store(null));
            }
        }
    }

    /**
     * A node that is new to us gets the records it should keep (paper, section 2.5): our own, and those of which we are the
     * closest holder that we know, so that not everybody sends the same.
     */
    private void handOver(Contact newcomer) {
        int handed = 0;
        for (Hash256 key : store.keys(RecordStore.MAX_RECORDS)) {
            if (handed >= MAX_HANDED_OVER) {
                return;
            }
            List<Contact> closest = table.closest(key, KBucket.K);
            if (!closest.contains(newcomer)) {
                continue;
            }
            boolean ours = republisher.payload(key) != null;
            boolean weAreClosest = closest.stream()
                    .filter(contact -> !contact.equals(newcomer))
                    .allMatch(contact -> RoutingTable.compareDistance(
                                    key, self.hash(), contact.id().hash())
                            < 0);
            if (!ours && !weAreClosest) {
                continue;
            }
            for (SignedRecord signed : store.find(key, nowSeconds(), Frame.MAX_RECORDS, random)) {
                NodeId provider = signed.record().provider().id();
                boolean wanted = weAreClosest || provider.equals(self);
                if (wanted && !provider.equals(newcomer.id()) && handed < MAX_HANDED_OVER) {
                    handed++;
                    ask(newcomer, new Frame.AddProvider(signed), new Store(null));
                }
            }
        }
    }

    // -------------------------------------------------------------------------------------------------- joining

    private void tryBootstrap() {
        retryNanos = Long.MAX_VALUE;
        if (bootstrapEndpoints.isEmpty()) {
            joined();
            return;
        }
        joining = Joining.TRYING;
        tries++;
        openTries = bootstrapEndpoints.size();
        for (Endpoint endpoint : bootstrapEndpoints) {
            askEndpoint(endpoint);
        }
    }

    private void askEndpoint(Endpoint endpoint) {
        long id = nextRequestId++;
        pending.put(id, new Pending(null, endpoint, nowNanos + REQUEST_TIMEOUT_NANOS, new Join()));
        effects.add(new AskEndpoint(id, endpoint, new Frame.FindNode(self.hash())));
    }

    private void joinAnswered(Contact contact, Frame response) {
        openTries = Math.max(0, openTries - 1);
        if (!(response instanceof Frame.Nodes(List<Contact> contacts))) {
            openTries++;
            joinFailed();
            return;
        }
        if (joining != Joining.TRYING && joining != Joining.GIVEN_UP && joining != Joining.PAUSING) {
            return;
        }
        if (contact.id().equals(self) && bootstrapEndpoints.size() > 1 && openTries > 0) {
            return;
        }
        joining = Joining.LOOKING;
        retryNanos = Long.MAX_VALUE;
        Operation operation = start(self.hash(), new Refresh(true));
        for (Contact hint : contacts) {
            operation.lookup.suggest(hint);
        }
        advance(operation, new Lookup.Start());
    }

    private void joinFailed() {
        openTries = Math.max(0, openTries - 1);
        if (openTries > 0 || joining != Joining.TRYING) {
            return;
        }
        if (tries >= MAX_BOOTSTRAP_TRIES && !failureTold) {
            failureTold = true;
            effects.add(new BootstrapFailed(tries));
            if (!keepTrying) {
                joining = Joining.GIVEN_UP;
                startWaitingQueries();
                return;
            }
        }
        long pause = Math.min(MAX_RETRY_NANOS, FIRST_RETRY_NANOS << Math.min(tries - 1, 10));
        joining = Joining.PAUSING;
        retryNanos = nowNanos + pause;
        effects.add(new BootstrapWaiting(tries, pause));
    }

    private void joined() {
        joining = Joining.JOINED;
        failureTold = false;
        tries = 0;
        refreshPauseNanos = FIRST_REFRESH_NANOS;
        refreshNanos = nowNanos + refreshPauseNanos;
        effects.add(new Bootstrapped(table.size()));
        republisher.allDue(nowNanos);
        refreshBuckets();
        startWaitingQueries();
    }

    /** Looks up a random id in each bucket up to our nearest neighbour's (paper, section 2.3, last paragraph). */
    private void refreshBuckets() {
        int deepest = Math.min(table.deepestBucket(), 32);
        for (int bucket = 0; bucket <= deepest; bucket++) {
            if (table.bucketSize(bucket) < KBucket.K && table.size() < KBucket.K && bucket > 0) {
                break; // a small network: one lookup meets everybody
            }
            advance(start(table.randomIn(bucket, random), new Refresh(false)), new Lookup.Start());
        }
    }

    private void refresh() {
        refreshPauseNanos = Math.min(MAX_REFRESH_NANOS, 2 * refreshPauseNanos);
        refreshNanos = nowNanos + refreshPauseNanos;
        if (table.size() == 0 && !bootstrapEndpoints.isEmpty()) {
            failureTold = true;
            keepTrying = true;
            tries = 0;
            tryBootstrap();
            return;
        }
        for (Endpoint endpoint : bootstrapEndpoints) {
            boolean known = table.closest(self.hash(), Integer.MAX_VALUE).stream()
                    .anyMatch(contact -> contact.endpoints().contains(endpoint));
            if (!known) {
                askEndpoint(endpoint); // heals a swarm that was cut in two
            }
        }
        table.staleSince(nowNanos - refreshPauseNanos).forEach(this::checkLife);
        advance(start(self.hash(), new Refresh(false)), new Lookup.Start());
        refreshBuckets();
    }

    // ------------------------------------------------------------------------------------------------- deadlines

    private void whatIsDue() {
        while (!pending.isEmpty() && pending.firstEntry().getValue().deadlineNanos <= nowNanos) {
            lost(pending.pollFirstEntry().getValue());
        }
        if (retryNanos <= nowNanos) {
            tryBootstrap();
        }
        if (refreshNanos <= nowNanos) {
            refreshNanos = Long.MAX_VALUE;
            refresh();
        }
        for (Operation operation : List.copyOf(operations)) {
            if (operation.lookup.deadlineNanos() <= nowNanos) {
                advance(operation, new Lookup.Tick());
            }
        }
        if (expiryNanos <= nowNanos) {
            store.expire(nowSeconds());
            expiryNanos = nowNanos + EXPIRY_CHECK_NANOS;
        }
        announceDue();
    }

    private long nowSeconds() {
        return epochSecondsAtZero + nowNanos / 1_000_000_000L;
    }
}

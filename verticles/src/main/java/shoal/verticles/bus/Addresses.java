package shoal.verticles.bus;

import shoal.codec.base.NodeId;

/** The event bus's addresses. Those under {@code local.} are heard within the process only. */
public final class Addresses {
    /** Broadcast envelopes: SHARD_LOADED, SHARD_PROGRESS. */
    public static final String BROADCAST = "shoal.broadcast";

    /** {@link Local.FetchFile} → {@link Local.FileFetched}; answered by the piece fetcher. */
    public static final String FETCH = "local.fetch";

    /** {@link Local.FetchProgress}, published by the piece fetcher a few times a second. */
    public static final String FETCH_PROGRESS = "local.fetch-progress";

    /** {@link Local.FetchBegun}, published by the piece fetcher. */
    public static final String FETCH_BEGUN = "local.fetch-begun";

    /** {@link Local.FetchFirst}, told to the piece fetcher. */
    public static final String FETCH_FIRST = "local.fetch-first";

    /** {@link Local.PiecesVerified}, published by whoever stored pieces; heard by the piece server. */
    public static final String PIECES_VERIFIED = "local.pieces-verified";

    /** {@link Local.FileStored}, published when a whole file is in the store; heard by who seeds and announces it. */
    public static final String FILE_STORED = "local.file-stored";

    /** {@link Local.FileStored}, published by the piece server when it begins to hand out a whole file. */
    public static final String FILE_SEEDED = "local.file-seeded";

    /** {@link Local.AskUpload} → {@link Local.UploadTurn}; answered by the piece server when the limits allow it. */
    public static final String ASK_UPLOAD = "local.ask-upload";

    /** {@link Local.UploadSent}, told to the piece server after a turn. */
    public static final String UPLOAD_SENT = "local.upload-sent";

    /** {@link Local.UploadLeft}, told to the piece server. */
    public static final String UPLOAD_LEFT = "local.upload-left";

    /** {@link Local.FindProviders} → {@link Local.ProvidersFound}; answered by the DHT. */
    public static final String FIND_PROVIDERS = "local.find-providers";

    /** {@link Local.Announce}, sent to the DHT; answered with the number of nodes that keep the record. */
    public static final String ANNOUNCE = "local.announce";

    /** {@link Local.Withdraw}, told to the DHT. */
    public static final String WITHDRAW = "local.withdraw";

    /** A {@code Command.LoadShard} → its result; answered by the shard loader. */
    public static final String LOAD_SHARD = "local.load-shard";

    /** A {@code Command.UnloadShard} → its result; answered by the shard loader. */
    public static final String UNLOAD_SHARD = "local.unload-shard";

    /** A {@code Command.ExecuteTask} → its result; answered by the inference stage. */
    public static final String EXECUTE_TASK = "local.execute-task";

    /** A {@code Command.Trace} → its result; answered by the inference stage. */
    public static final String TRACE = "local.trace";

    /** {@link Local.AskPlan} → {@link Local.PlanTold}; answered by the coordinator. */
    public static final String PLAN = "local.plan";

    /** {@link Local.AskProof} → {@link Local.Proof}; answered by the coordinator. */
    public static final String PROOF = "local.proof";

    /** A {@code Command.Generate} → its result; answered by the coordinator. */
    public static final String GENERATE = "local.generate";

    /** {@link Local.OpenStage} → {@link Local.StageOpened}; answered by the inference stage. */
    public static final String OPEN_STAGE = "local.open-stage";

    /** {@link Local.CloseStage} → an empty answer; answered by the inference stage. */
    public static final String CLOSE_STAGE = "local.close-stage";

    /** {@link Local.AskLoaded} → {@link Local.Loaded}; answered by the shard loader. */
    public static final String LOADED = "local.loaded";

    /** {@link Local.Step}, published by who takes one of the 19 steps from a file to a ready swarm. */
    public static final String STEP = "local.step";

    /** {@link Local.SwarmReady}, published by the coordinator. */
    public static final String SWARM_READY = "local.swarm-ready";

    /** {@link Local.StartGeneration} → {@link Local.GenerationAccepted}; answered by the coordinator. */
    public static final String START_GENERATION = "local.start-generation";

    /** {@link Local.CancelGeneration}, told to the coordinator. */
    public static final String CANCEL_GENERATION = "local.cancel-generation";

    /** {@link Local.AskSwarm} → {@link Local.SwarmState}; answered by the coordinator. */
    public static final String SWARM_STATE = "local.swarm-state";

    /** {@link Local.AskWork} → {@link Local.Work}; answered by the coordinator. */
    public static final String WORK = "local.work";

    /** {@link Local.MemberLost}, published when a process of the cluster is gone. */
    public static final String MEMBER_LOST = "local.member-lost";

    /** {@link Local.DeviceLost}, published when this process can compute no more. */
    public static final String DEVICE_LOST = "local.device-lost";

    /** {@link Local.Leave} → whether the work was handed over; answered by the guard. */
    public static final String LEAVE = "local.leave";

    /** A {@code Command.StandBy} → its result; answered by the inference stage. */
    public static final String STAND_BY = "local.stand-by";

    private Addresses() {}

    /** Where {@link Local.GenerationNews} of one generation are told. */
    public static String generation(String id) {
        return "local.generation." + id;
    }

    /** Where a node takes envelopes that are meant for it. */
    public static String node(NodeId id) {
        return "shoal.node." + id.toHex();
    }
}

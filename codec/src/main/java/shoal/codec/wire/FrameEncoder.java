package shoal.codec.wire;

import java.nio.ByteBuffer;
import java.util.List;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.ByteWriter;
import shoal.codec.base.Contact;
import shoal.codec.base.Endpoint;

/** Frames to bytes. Bulk bytes are not copied: they come back as a buffer of their own, to be sent behind the first. */
public final class FrameEncoder {
    private FrameEncoder() {}

    /** One or two buffers to send in this order; the second is the frame's own bulk buffer. */
    public static List<ByteBuffer> encode(Frame frame) {
        ByteBuffer bulk = bulkOf(frame);
        var payload = new ByteWriter();
        writeFields(payload, frame);
        int bulkSize = bulk == null ? 0 : bulk.remaining();
        int size = payload.size() + bulkSize;
        if (size > frame.type().maxPayloadBytes()) {
            throw new IllegalArgumentException(frame.type() + " has " + size + " bytes, allowed 0.."
                    + frame.type().maxPayloadBytes());
        }
        var head = new ByteWriter(payload.size() + 16);
        head.putVarint(frame.type().number()).putVarint(size).putBytes(payload.asBuffer());
        return bulk == null ? List.of(head.asBuffer()) : List.of(head.asBuffer(), bulk.duplicate());
    }

    /** The whole frame in one array. */
    public static byte[] toBytes(Frame frame) {
        var writer = new ByteWriter();
        for (ByteBuffer part : encode(frame)) {
            writer.putBytes(part);
        }
        return writer.toBytes();
    }

    private static @Nullable ByteBuffer bulkOf(Frame frame) {
        return switch (frame) {
            case Frame.PieceData data -> data.data();
            case Frame.Activation activation -> activation.values();
            case Frame.KeyValues copied -> copied.pages();
            case Frame.Metadata metadata -> metadata.pieceLayer();
            case Frame.DoorAsk ask -> ask.body();
            case Frame.DoorBytes more -> more.bytes();
            default -> null;
        };
    }

    private static void writeFields(ByteWriter w, Frame frame) {
        switch (frame) {
            case Frame.Hello f -> {
                w.putText(f.software()).putVarint(f.role().number()).putText(f.cluster());
                putEndpoints(w, f.endpoints());
                w.putHash(f.secretProof());
            }
            case Frame.Welcome f -> {
                w.putText(f.software()).putVarint(f.role().number()).putText(f.cluster());
                putEndpoints(w, f.endpoints());
                putEndpoint(w, f.observed());
                putEndpoints(w, f.busMembers());
                w.putHash(f.secretProof());
            }
            case Frame.Refused f -> w.putVarint(f.code().number()).putText(f.message());
            case Frame.Ping() -> {}
            case Frame.Pong() -> {}
            case Frame.FindNode f -> w.putHash(f.target());
            case Frame.Nodes f -> putContacts(w, f.contacts());
            case Frame.FindProviders f -> w.putHash(f.key());
            case Frame.Providers f -> {
                w.putVarint(f.records().size());
                f.records().forEach(record -> putRecord(w, record));
                putContacts(w, f.closer());
            }
            case Frame.AddProvider f -> putRecord(w, f.record());
            case Frame.ProviderAdded f -> w.putByte(f.kept() ? 1 : 0);
            case Frame.ListFiles() -> {}
            case Frame.FileList f -> {
                w.putVarint(f.files().size());
                for (Frame.FileEntry file : f.files()) {
                    w.putHash(file.infoHash())
                            .putHash(file.piecesRoot())
                            .putText(file.name())
                            .putVarint(file.size());
                }
            }
            case Frame.RequestMetadata f -> w.putHash(f.hash());
            case Frame.Metadata f -> w.putVarint(f.info().remaining()).putBytes(f.info());
            case Frame.Follow f -> w.putHash(f.piecesRoot());
            case Frame.Holding f ->
                w.putHash(f.piecesRoot()).putVarint(f.bitfield().remaining()).putBytes(f.bitfield());
            case Frame.Have f ->
                w.putHash(f.piecesRoot()).putVarint(f.firstPiece()).putVarint(f.pieceCount());
            case Frame.Placed f ->
                w.putHash(f.piecesRoot()).putVarint(f.firstPiece()).putVarint(f.pieceCount());
            case Frame.Followers f -> {
                w.putHash(f.piecesRoot());
                putContacts(w, f.contacts());
            }
            case Frame.RequestPiece f ->
                w.putHash(f.piecesRoot()).putVarint(f.firstBlock()).putVarint(f.blockCount());
            case Frame.PieceData f -> w.putHash(f.piecesRoot()).putVarint(f.firstBlock());
            case Frame.PieceRefused f ->
                w.putHash(f.piecesRoot())
                        .putVarint(f.firstBlock())
                        .putVarint(f.code().number());
            case Frame.CancelRequest f ->
                w.putHash(f.piecesRoot()).putVarint(f.firstBlock()).putVarint(f.blockCount());
            case Frame.TokenBatch f -> {
                putHead(w, f.head());
                w.putVarint(f.tokens().size());
                f.tokens().forEach(w::putVarint);
            }
            case Frame.Activation f -> {
                BatchHead head = f.head();
                w.putLong(head.pipeline()).putInt(head.epoch().number()).putInt(head.number());
                w.putShort(head.stage()).putShort(head.lastStage());
                w.putShort(head.slices().size()).putShort(f.busyMicros().size());
                w.putInt(f.hiddenSize()).putShort(f.activationType().number()).putShort(head.tokenCount());
                head.slices().forEach(slice -> putSlice(w, slice));
                f.busyMicros().forEach(micros -> w.putShort(BusyTime.toShort(micros)));
            }
            case Frame.TokensSampled f -> {
                w.putLong(f.pipeline()).putInt(f.epoch().number()).putInt(f.microBatch());
                w.putVarint(f.busyMicros().size());
                f.busyMicros().forEach(micros -> w.putShort(BusyTime.toShort(micros)));
                w.putVarint(f.tokens().size());
                for (Frame.SampledToken token : f.tokens()) {
                    w.putLong(token.session()).putInt(token.position()).putInt(token.token());
                    putFloat(w, token.logProbability());
                    putTop(w, token.top());
                    putFloat(w, token.state().mu());
                }
            }
            case Frame.OpenSequence f -> {
                w.putLong(f.pipeline()).putInt(f.epoch().number()).putShort(f.stage());
                w.putLong(f.session()).putInt(f.promptSize());
                putFloat(w, f.state().mu());
                putSampling(w, f.sampling());
            }
            case Frame.SequenceTokens f -> {
                w.putLong(f.pipeline()).putInt(f.epoch().number()).putShort(f.stage());
                w.putLong(f.session())
                        .putInt(f.firstPosition())
                        .putVarint(f.tokens().size());
                f.tokens().forEach(w::putVarint);
            }
            case Frame.Replay f -> putHead(w, f.head());
            case Frame.KeyValues f ->
                w.putLong(f.pipeline())
                        .putHash(f.shard())
                        .putShort(f.layers().first())
                        .putShort(f.layers().last())
                        .putLong(f.session())
                        .putInt(f.firstPosition())
                        .putInt(f.positions())
                        .putText(f.order());
            case Frame.CopyTo f -> {
                w.putLong(f.pipeline()).putInt(f.epoch().number()).putShort(f.stage());
                Contact to = f.to();
                w.putByte(to == null ? 0 : 1);
                if (to != null) {
                    putContact(w, to);
                }
            }
            case Frame.Release f -> {
                w.putLong(f.pipeline())
                        .putInt(f.beforeMicroBatch())
                        .putVarint(f.sessions().size());
                f.sessions().forEach(w::putLong);
            }
            case Frame.StageFailed f -> {
                w.putLong(f.pipeline()).putInt(f.epoch().number()).putInt(f.microBatch());
                w.putVarint(f.sessions().size());
                f.sessions().forEach(w::putLong);
                w.putVarint(f.code().number()).putText(f.message());
            }
            case Frame.Generate f -> {
                w.putText(f.prompt()).putVarint(f.maxTokens());
                putSampling(w, f.sampling());
                w.putVarint(f.stop().size());
                f.stop().forEach(w::putText);
            }
            case Frame.GenerationStarted f -> {
                w.putVarint(f.promptTokens().size());
                f.promptTokens().forEach(w::putVarint);
                putStages(w, f.stages());
            }
            case Frame.GeneratedToken f -> {
                w.putVarint(f.token()).putText(f.text());
                putFloat(w, f.logProbability());
                putTop(w, f.top());
            }
            case Frame.GenerationDone f -> {
                w.putByte(f.stopped().ordinal()).putText(f.text());
                w.putVarint(f.firstTokenMicros()).putVarint(f.totalMicros());
            }
            case Frame.AskPlan f -> w.putVarint(f.sequences() + 1);
            case Frame.Plan f -> w.putText(f.json());
            case Frame.Beat f -> w.putInt(f.epoch().number()).putInt(f.number());
            case Frame.BeatBack f ->
                w.putInt(f.number())
                        .putInt(f.epoch().number())
                        .putByte(f.availability().number())
                        .putShort(f.wirePort());
            case Frame.Relieved f -> w.putInt(f.epoch().number());
            case Frame.Rest f -> w.putByte(f.rest() ? 1 : 0);
            case Frame.Rested f -> w.putByte(f.availability().number()).putByte(f.relieved() ? 1 : 0);
            case Frame.FollowJournal f -> w.putHash(f.model());
            case Frame.JournalOpened f -> w.putVarint(f.term());
            case Frame.JournalPlaced f -> {
                w.putText(f.order());
                putStages(w, f.stages());
            }
            case Frame.JournalBegun f -> {
                w.putText(f.id()).putText(f.form()).putText(f.user());
                w.putVarint(f.prompt().size());
                f.prompt().forEach(w::putVarint);
                w.putVarint(f.maxTokens());
                putSampling(w, f.sampling());
                w.putVarint(f.stop().size());
                f.stop().forEach(w::putText);
                w.putByte(f.chances() ? 1 : 0);
            }
            case Frame.JournalToken f -> {
                w.putText(f.id()).putVarint(f.token());
                putFloat(w, f.logProbability());
                putTop(w, f.top());
                putFloat(w, f.state().mu());
            }
            case Frame.JournalEnded f ->
                w.putText(f.id()).putByte(f.whole() ? 1 : 0).putByte(f.reason().ordinal());
            case Frame.JournalHeard f -> w.putVarint(f.frames());
            case Frame.DoorAsk f ->
                w.putText(f.method()).putText(f.path()).putText(f.lastEventId()).putText(f.user());
            case Frame.DoorHead f -> w.putShort(f.status()).putText(f.contentType());
            case Frame.DoorBytes _ -> {}
        }
    }

    private static void putStages(ByteWriter w, List<Frame.StageEntry> stages) {
        w.putVarint(stages.size());
        for (Frame.StageEntry stage : stages) {
            w.putHash(stage.node().hash());
            w.putVarint(stage.layers().first()).putVarint(stage.layers().last());
        }
    }

    private static void putHead(ByteWriter w, BatchHead head) {
        w.putLong(head.pipeline()).putInt(head.epoch().number()).putInt(head.number());
        w.putShort(head.stage())
                .putShort(head.lastStage())
                .putShort(head.slices().size());
        head.slices().forEach(slice -> putSlice(w, slice));
    }

    private static void putSlice(ByteWriter w, Slice slice) {
        w.putLong(slice.session()).putInt(slice.firstPosition()).putShort(slice.tokenCount());
        w.putByte((slice.sample() ? 1 : 0)
                | (slice.parent() != 0 ? 2 : 0)
                | (slice.drafted().isEmpty() ? 0 : 4)
                | (slice.copied() ? 8 : 0));
        if (slice.parent() != 0) {
            w.putLong(slice.parent());
        }
        slice.drafted().forEach(w::putInt);
    }

    private static void putFloat(ByteWriter w, float value) {
        w.putInt(Float.floatToRawIntBits(value));
    }

    private static void putTop(ByteWriter w, List<TokenLogprob> top) {
        w.putVarint(top.size());
        for (TokenLogprob entry : top) {
            w.putVarint(entry.token());
            putFloat(w, entry.logprob());
        }
    }

    private static void putSampling(ByteWriter w, Sampling sampling) {
        putFloat(w, sampling.temperature());
        w.putVarint(sampling.topK());
        putFloat(w, sampling.topP());
        putFloat(w, sampling.minP());
        putFloat(w, sampling.typicalP());
        Sampling.Penalties penalties = sampling.penalties();
        w.putInt(penalties.lastN());
        putFloat(w, penalties.repeat());
        putFloat(w, penalties.frequency());
        putFloat(w, penalties.presence());
        Sampling.Dry dry = sampling.dry();
        putFloat(w, dry.multiplier());
        putFloat(w, dry.base());
        w.putVarint(dry.allowedLength()).putInt(dry.lastN());
        w.putVarint(dry.breakers().size());
        dry.breakers().forEach(w::putText);
        putFloat(w, sampling.xtc().probability());
        putFloat(w, sampling.xtc().threshold());
        Sampling.Mirostat mirostat = sampling.mirostat();
        w.putByte(mirostat == null ? 0 : 1);
        if (mirostat != null) {
            putFloat(w, mirostat.tau());
            putFloat(w, mirostat.eta());
        }
        w.putVarint(sampling.logitBias().size());
        for (Sampling.Bias bias : sampling.logitBias()) {
            w.putVarint(bias.token());
            putFloat(w, bias.bias());
        }
        w.putText(sampling.grammar());
        w.putVarint(sampling.logprobs()).putLong(sampling.seed());
    }

    static void putEndpoint(ByteWriter w, Endpoint endpoint) {
        w.putText(endpoint.host()).putVarint(endpoint.port());
    }

    static void putContact(ByteWriter w, Contact contact) {
        w.putHash(contact.id().hash());
        putEndpoints(w, contact.endpoints());
    }

    private static void putEndpoints(ByteWriter w, List<Endpoint> endpoints) {
        w.putVarint(endpoints.size());
        endpoints.forEach(endpoint -> putEndpoint(w, endpoint));
    }

    private static void putContacts(ByteWriter w, List<Contact> contacts) {
        w.putVarint(contacts.size());
        contacts.forEach(contact -> putContact(w, contact));
    }

    private static void putRecord(ByteWriter w, SignedRecord signed) {
        w.putSizedBytes(signed.record().toBytes())
                .putSizedBytes(signed.publicKey())
                .putSizedBytes(signed.signature());
    }
}

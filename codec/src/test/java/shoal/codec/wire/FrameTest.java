package shoal.codec.wire;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.Signature;
import java.security.spec.ECGenParameterSpec;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.EnumSet;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import shoal.codec.base.Contact;
import shoal.codec.base.Endpoint;
import shoal.codec.base.Epoch;
import shoal.codec.base.Hash256;
import shoal.codec.base.LayerRange;
import shoal.codec.base.MalformedException;
import shoal.codec.base.NodeId;
import shoal.codec.base.Varint;

class FrameTest {
    private static final KeyPair KEYS = keys();
    private static final Hash256 HASH = Hash256.sha256("content".getBytes());
    private static final Contact CONTACT = new Contact(
            NodeId.ofPublicKey(KEYS.getPublic().getEncoded()),
            List.of(new Endpoint("127.0.0.1", 51820), new Endpoint("fe80::1", 4001)));

    private static final Sampling FULL_SAMPLING = new Sampling(
            0.8f,
            40,
            0.95f,
            0.05f,
            0.9f,
            new Sampling.Penalties(-1, 1.1f, 0.25f, -0.5f),
            new Sampling.Dry(0.8f, 1.75f, 3, 512, List.of("\n", "。")),
            new Sampling.Xtc(0.5f, 0.1f),
            new Sampling.Mirostat(5, 0.1f),
            List.of(new Sampling.Bias(7, -1.5f), new Sampling.Bias(70_000, Float.NEGATIVE_INFINITY)),
            "root ::= \"a\"+",
            5,
            -1);

    private static final BatchHead HEAD = new BatchHead(
            -7, new Epoch(2), 3, 0, 5, List.of(new Slice(5, 511, 3, true), new Slice(-5, 16, 1, false, List.of(), 9)));

    private static final BatchHead DRAFTED =
            new BatchHead(-7, new Epoch(2), 3, 1, 5, List.of(new Slice(5, 511, 3, true, List.of(70_000, 9), 0)));

    /** One frame of every type. */
    static List<Frame> frames() {
        return List.of(
                new Frame.Hello("shoal 0.1.0", Role.NODE, "llama", CONTACT.endpoints(), HASH),
                new Frame.Welcome(
                        "shoal 0.1.0",
                        Role.RENDEZVOUS,
                        "llama",
                        CONTACT.endpoints(),
                        new Endpoint("::1", 9),
                        List.of(new Endpoint("127.0.0.1", 5701)),
                        HASH),
                new Frame.Refused(ErrorCode.CLUSTER, "this rendezvous serves 'a', not 'b'"),
                new Frame.Ping(),
                new Frame.Pong(),
                new Frame.FindNode(HASH),
                new Frame.Nodes(List.of(CONTACT, CONTACT)),
                new Frame.FindProviders(HASH),
                new Frame.Providers(List.of(signed()), List.of(CONTACT)),
                new Frame.AddProvider(signed()),
                new Frame.ProviderAdded(true),
                new Frame.ListFiles(),
                new Frame.FileList(List.of(new Frame.FileEntry(HASH, Hash256.ZERO, "shard-0.gguf", 515_931_456))),
                new Frame.RequestMetadata(HASH),
                new Frame.Metadata(buffer(100), buffer(64)),
                new Frame.Follow(HASH),
                new Frame.Holding(HASH, buffer(9)),
                new Frame.Have(HASH, 60_000, 3),
                new Frame.RequestPiece(HASH, 123_456_789_012L, 4),
                new Frame.PieceData(HASH, 8, buffer(16_384)),
                new Frame.PieceRefused(HASH, 8, ErrorCode.BUSY),
                new Frame.CancelRequest(HASH, 8, 4),
                new Frame.Placed(HASH, 60_000, 3),
                new Frame.Followers(HASH, List.of(CONTACT)),
                new Frame.TokenBatch(HEAD, List.of(1, 31_999, 128_255, 7)),
                new Frame.Activation(
                        new BatchHead(Long.MIN_VALUE, new Epoch(1), -1, 2, 5, HEAD.slices()),
                        ActivationType.F16,
                        8,
                        List.of(0, 4095, 4096, 123_456_789),
                        buffer(64)),
                new Frame.Activation(DRAFTED, ActivationType.F16, 8, List.of(), buffer(48)),
                new Frame.Activation(HEAD.next(), ActivationType.Q8_0, 64, List.of(), buffer(4 * 68)),
                new Frame.TokensSampled(-7, Epoch.FIRST, 78, List.of(521), List.of()),
                new Frame.TokensSampled(
                        5,
                        Epoch.FIRST,
                        78,
                        List.of(1000, Integer.MAX_VALUE),
                        Collections.nCopies(
                                Frame.TokensSampled.MAX_TOKENS,
                                new Frame.SampledToken(
                                        5,
                                        78,
                                        521,
                                        -0.25f,
                                        Collections.nCopies(
                                                Sampling.MAX_LOGPROBS,
                                                new TokenLogprob(Integer.MAX_VALUE, Float.NEGATIVE_INFINITY)),
                                        new SamplingState(9.5f)))),
                new Frame.OpenSequence(5, Epoch.FIRST, 3, -5, 4096, SamplingState.START, FULL_SAMPLING),
                new Frame.SequenceTokens(5, Epoch.FIRST, 3, -5, 4096, List.of(1, 70_000)),
                new Frame.Replay(new BatchHead(5, Epoch.FIRST, 9, 1, 3, HEAD.slices())),
                new Frame.Replay(new BatchHead(
                        5, Epoch.FIRST, 9, 1, 3, List.of(new Slice(5, 32, 1, false, List.of(), 0, true)))),
                new Frame.KeyValues(5, HASH, new LayerRange(3, 7), -5, 32, 16, "lanes-16", buffer(1000)),
                new Frame.CopyTo(5, new Epoch(3), 1, CONTACT),
                new Frame.CopyTo(5, new Epoch(3), 1, null),
                new Frame.Release(5, 9, List.of(1L, -1L)),
                new Frame.StageFailed(
                        5, Epoch.FIRST, 9, List.of(7L), ErrorCode.CONTEXT, "513 tokens, the context has 512"),
                new Frame.Generate("Once upon a time 🐟", 48, new Sampling(0.8f, 40, 0.95f, 0.05f, -1)),
                new Frame.Generate("Once", 48, FULL_SAMPLING, List.of("\n\n", "END")),
                new Frame.GenerationStarted(
                        List.of(1, 2, 3), List.of(new Frame.StageEntry(CONTACT.id(), new LayerRange(0, 7)))),
                new Frame.GeneratedToken(521, " You", -1.5f, List.of(new TokenLogprob(521, -0.5f))),
                new Frame.GenerationDone(Frame.StopReason.EOS, "", 12_345, 999_999),
                new Frame.AskPlan(Frame.AskPlan.AS_CONFIGURED),
                new Frame.AskPlan(Frame.AskPlan.MAX_SEQUENCES),
                new Frame.Plan("{}"),
                new Frame.Beat(new Epoch(3), Integer.MAX_VALUE),
                new Frame.BeatBack(7, new Epoch(3), Availability.LEAVING, 65_535),
                new Frame.Relieved(new Epoch(4)),
                new Frame.Rest(true),
                new Frame.Rested(Availability.RESTING, false),
                new Frame.FollowJournal(HASH),
                new Frame.JournalOpened(70_000),
                new Frame.JournalPlaced("lanes-16", List.of(new Frame.StageEntry(CONTACT.id(), new LayerRange(0, 7)))),
                new Frame.JournalBegun(
                        "cmpl-1", "{}", "127.0.0.1", List.of(1, 70_000), 48, FULL_SAMPLING, List.of("END"), true),
                new Frame.JournalToken(
                        "cmpl-1", 521, -1.5f, List.of(new TokenLogprob(521, -0.5f)), new SamplingState(9)),
                new Frame.JournalEnded("cmpl-1", true, Frame.StopReason.STOP),
                new Frame.JournalHeard(1 << 30),
                new Frame.DoorAsk("POST", "/v1/completions", "7", "192.168.1.9", buffer(100)),
                new Frame.DoorHead(200, "text/event-stream"),
                new Frame.DoorBytes(buffer(1000)));
    }

    @Test
    void theListHasEveryType() {
        var seen = EnumSet.noneOf(FrameType.class);
        frames().forEach(frame -> seen.add(frame.type()));
        assertEquals(EnumSet.allOf(FrameType.class), seen);
    }

    @ParameterizedTest
    @MethodSource("frames")
    void comesBackAsItWas(Frame frame) {
        byte[] bytes = FrameEncoder.toBytes(frame);
        assertEquals(List.of(frame), decode(kindOf(frame), bytes, bytes.length));
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 7, 1000})
    void doesNotCareHowTheBytesAreCut(int step) {
        for (Frame frame : frames()) {
            byte[] one = FrameEncoder.toBytes(frame);
            byte[] twice = Arrays.copyOf(one, 2 * one.length);
            System.arraycopy(one, 0, twice, one.length, one.length);
            assertEquals(List.of(frame, frame), decode(kindOf(frame), twice, step));
        }
    }

    @ParameterizedTest
    @MethodSource("frames")
    void aFrameOnTheWrongStreamIsRefused(Frame frame) {
        for (StreamKind kind : StreamKind.values()) {
            if (!frame.type().isAllowedOn(kind)) {
                byte[] bytes = FrameEncoder.toBytes(frame);
                assertThrows(MalformedException.class, () -> decode(kind, bytes, bytes.length));
            }
        }
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3})
    void damagedFramesAreMalformedAndNothingElse(long seed) {
        var random = new Random(seed);
        for (Frame frame : frames()) {
            byte[] good = FrameEncoder.toBytes(frame);
            for (int i = 0; i < 200; i++) {
                byte[] bad = good.clone();
                bad[random.nextInt(bad.length)] ^= (byte) (1 << random.nextInt(8));
                try {
                    decode(kindOf(frame), bad, bad.length);
                } catch (MalformedException expected) {
                    assertFalse(expected.getMessage().contains("\n"), expected.getMessage());
                }
            }
        }
    }

    @ParameterizedTest
    @ValueSource(floats = {Float.NaN, -1, 101, Float.POSITIVE_INFINITY})
    void samplingOutOfBoundsIsMalformed(float temperature) {
        byte[] bytes = FrameEncoder.toBytes(new Frame.Generate("", 1, Sampling.GREEDY));
        int at = 2 + Varint.sizeFromFirstByte(bytes[2]) + 1 + 1; // behind type, size, prompt, max tokens
        ByteBuffer.wrap(bytes).putFloat(at, temperature);
        var refused = assertThrows(MalformedException.class, () -> decode(StreamKind.GENERATE, bytes, bytes.length));
        assertTrue(refused.getMessage().contains("temperature is "), refused.getMessage());
    }

    @Test
    void aHugeAnnouncedSizeIsRefusedBeforeAnythingIsAllocated() {
        byte[] head = {0x28, (byte) 0xc0, 0, 0, 0, 0x7f, (byte) 0xff, (byte) 0xff, (byte) 0xff};
        var refused = assertThrows(MalformedException.class, () -> decode(StreamKind.PIECES, head, head.length));
        assertTrue(refused.getMessage().startsWith("PIECE_DATA size is 2147483647, allowed 0.."), refused.getMessage());
    }

    /** The bound holds for a pipeline of up to seven stages; each further one adds two bytes. */
    @ParameterizedTest
    @ValueSource(ints = {1, 2, 7})
    void aTokensActivationsHaveAtMost64BytesBeside(int stages) {
        var head = new BatchHead(1, Epoch.FIRST, 0, stages - 1, 7, List.of(new Slice(1, 70_000, 1, true)));
        var frame = new Frame.Activation(
                head, ActivationType.F16, 16_384, Collections.nCopies(stages - 1, 1_000_000), buffer(32_768));
        byte[] bytes = FrameEncoder.toBytes(frame);
        assertEquals(
                1 + 4 + Frame.Activation.HEADER_BYTES + 15 + 2 * (stages - 1) + 2 * 16_384,
                bytes.length,
                "type and size, header, one slice, busy times, values");
        assertTrue(bytes.length <= 16_384 * 2 + 64, "the bound per token and hop");
    }

    @Test
    void busyTimesAreExactToOneIn2048() {
        for (int micros : new int[] {0, 1, 4095, 4096, 8191, 1_000_000, 134_184_960}) {
            var frame = new Frame.TokensSampled(1, Epoch.FIRST, 0, List.of(micros), List.of());
            assertEquals(micros, frame.busyMicros().getFirst(), micros / 2048.0 + 0.5);
        }
    }

    @Test
    void slicesAndTokensMustFit() {
        byte[] good = FrameEncoder.toBytes(new Frame.Activation(
                new BatchHead(1, Epoch.FIRST, 0, 1, 1, List.of(new Slice(1, 0, 2, true))),
                ActivationType.F16,
                8,
                List.of(),
                buffer(32)));
        byte[] otherCount = good.clone();
        otherCount[3 + 31]++; // the header's last byte, behind type and size
        var refused =
                assertThrows(MalformedException.class, () -> decode(StreamKind.STAGE, otherCount, otherCount.length));
        assertEquals("tokens are 3, the slices have 2", refused.getMessage());
        byte[] manySlices = good.clone();
        manySlices[3 + 20] = 2; // 512 slices and more
        refused = assertThrows(MalformedException.class, () -> decode(StreamKind.STAGE, manySlices, manySlices.length));
        assertEquals("slices are 513, allowed 0..256", refused.getMessage());
    }

    @Test
    void onlyTheProvidersOwnSignatureCounts() throws Exception {
        assertTrue(signed().isAuthentic());
        SignedRecord good = signed();
        ProviderRecord other = new ProviderRecord(Hash256.ZERO, CONTACT, new byte[0], 1000, 2000);
        assertFalse(new SignedRecord(other, good.publicKey(), good.signature()).isAuthentic());
        KeyPair stranger = keys();
        assertFalse(new SignedRecord(good.record(), stranger.getPublic().getEncoded(), good.signature()).isAuthentic());
        assertFalse(new SignedRecord(good.record(), good.publicKey(), new byte[] {1}).isAuthentic());
    }

    private static SignedRecord signed() {
        try {
            var record = new ProviderRecord(HASH, CONTACT, "node".getBytes(), 1000, 4600);
            var signer = Signature.getInstance("SHA256withECDSA");
            signer.initSign(KEYS.getPrivate());
            signer.update(record.toBytes());
            return new SignedRecord(record, KEYS.getPublic().getEncoded(), signer.sign());
        } catch (java.security.GeneralSecurityException impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    private static KeyPair keys() {
        try {
            var generator = KeyPairGenerator.getInstance("EC");
            generator.initialize(new ECGenParameterSpec("secp256r1"));
            return generator.generateKeyPair();
        } catch (java.security.GeneralSecurityException impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    private static StreamKind kindOf(Frame frame) {
        return Arrays.stream(StreamKind.values())
                .filter(frame.type()::isAllowedOn)
                .findFirst()
                .orElseThrow();
    }

    private static ByteBuffer buffer(int size) {
        byte[] bytes = new byte[size];
        new Random(size).nextBytes(bytes);
        return ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    }

    private static List<Frame> decode(StreamKind kind, byte[] bytes, int step) {
        var frames = new ArrayList<Frame>();
        var decoder = new FrameDecoder(kind);
        for (int at = 0; at < bytes.length; at += step) {
            decoder.feed(ByteBuffer.wrap(bytes, at, Math.min(step, bytes.length - at)), frames::add);
        }
        return frames;
    }
}

package shoal.codec.docs;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import shoal.codec.command.Command;
import shoal.codec.command.Envelope;
import shoal.codec.command.EnvelopeCodec;
import shoal.codec.gguf.ShardKeys;
import shoal.codec.wire.ErrorCode;
import shoal.codec.wire.Frame;
import shoal.codec.wire.FrameDecoder;
import shoal.codec.wire.FrameEncoder;
import shoal.codec.wire.FrameType;
import shoal.codec.wire.StreamKind;
import tools.jackson.databind.json.JsonMapper;

/** docs/PROTOCOL.md says what the code does: its examples are decoded and encoded again, its tables compared. */
class ProtocolDocTest {
    private static final String PAGE = page();

    /** A fenced block: what stands behind the three back quotes, and its lines. */
    private record Block(String language, String about, String text) {
        @Override
        public String toString() {
            return (language + " " + about + " " + text.lines().findFirst().orElse("")).strip();
        }
    }

    static List<Block> hexBlocks() {
        return blocks("hex");
    }

    static List<Block> jsonBlocks() {
        return blocks("json");
    }

    @ParameterizedTest
    @MethodSource("hexBlocks")
    void hexExamplesComeBackAsTheyWere(Block block) {
        byte[] bytes = HexFormat.of().parseHex(block.text().replaceAll("\\s", ""));
        FrameType expected = FrameType.valueOf(block.about());
        StreamKind kind = Arrays.stream(StreamKind.values())
                .filter(expected::isAllowedOn)
                .findFirst()
                .orElseThrow();
        var decoder = new FrameDecoder(kind);
        var frames = new ArrayList<Frame>();
        decoder.feed(ByteBuffer.wrap(bytes), frames::add);
        assertTrue(decoder.isBetweenFrames(), "the example is cut short");
        assertEquals(1, frames.size());
        assertEquals(expected, frames.getFirst().type());
        assertArrayEquals(bytes, FrameEncoder.toBytes(frames.getFirst()));
    }

    @Test
    void everyFrameHasAnExample() {
        Set<String> shown = hexBlocks().stream().map(Block::about).collect(Collectors.toSet());
        Set<String> all = Arrays.stream(FrameType.values()).map(Enum::name).collect(Collectors.toSet());
        assertEquals(all, shown);
    }

    @ParameterizedTest
    @EnumSource(FrameType.class)
    void everyFrameIsInTheTable(FrameType type) {
        String row =
                String.format(Locale.ROOT, "| `0x%02x` | `%s` | %,d | ", type.number(), type, type.maxPayloadBytes());
        assertTrue(PAGE.contains("\n" + row), "no row begins with " + row);
    }

    @ParameterizedTest
    @EnumSource(ErrorCode.class)
    void everyErrorCodeIsInTheTable(ErrorCode code) {
        String row = "| " + code.number() + " | `" + code + "` | " + code.sentence() + " |";
        assertTrue(PAGE.contains("\n" + row + "\n"), "there is no row " + row);
    }

    @ParameterizedTest
    @EnumSource(StreamKind.class)
    void everyKindOfStreamIsInTheTable(StreamKind kind) {
        assertTrue(PAGE.contains("\n| " + kind.number() + " | `" + kind + "` | "), kind.toString());
    }

    @ParameterizedTest
    @MethodSource("jsonBlocks")
    void envelopesComeBackAsTheyWere(Block block) {
        Envelope envelope = switch (block.about()) {
            case "request" -> EnvelopeCodec.readRequest(block.text());
            case "reply" -> EnvelopeCodec.readReply(block.text());
            default -> throw new AssertionError("a JSON block says request or reply, not " + block.about());
        };
        var json = JsonMapper.shared();
        assertEquals(json.readTree(block.text()), json.readTree(EnvelopeCodec.write(envelope)));
    }

    @Test
    void everyCommandHasAnExampleAndARow() {
        Set<String> shown = jsonBlocks().stream()
                .filter(block -> block.about().equals("request"))
                .map(block -> EnvelopeCodec.readRequest(block.text()).command().name())
                .collect(Collectors.toSet());
        assertEquals(Set.copyOf(Command.NAMES), shown);
        Command.NAMES.forEach(name -> assertTrue(PAGE.contains("\n| `" + name + "` | "), name));
        assertInstanceOf(
                Envelope.Failure.class,
                jsonBlocks().stream()
                        .filter(block -> block.text().contains("\"error\""))
                        .map(block -> EnvelopeCodec.readReply(block.text()))
                        .findFirst()
                        .orElseThrow());
    }

    @Test
    void everyShardKeyIsInTheTable() throws IllegalAccessException {
        int keys = 0;
        for (Field field : ShardKeys.class.getFields()) {
            if (Modifier.isStatic(field.getModifiers()) && !field.getName().equals("PREFIX")) {
                assertTrue(PAGE.contains("\n| `" + field.get(null) + "` | "), field.getName());
                keys++;
            }
        }
        assertTrue(keys > 10);
    }

    private static List<Block> blocks(String language) {
        return Pattern.compile("(?m)^```" + language + " ?(\\S*)\\R((?:(?!```).*\\R)*)```")
                .matcher(PAGE)
                .results()
                .map(found -> new Block(language, found.group(1), found.group(2)))
                .toList();
    }

    private static String page() {
        Path repository = Path.of(System.getProperty("shoal.repository", ".."));
        try {
            return Files.readString(repository.resolve("docs/PROTOCOL.md"));
        } catch (IOException unreadable) {
            throw new UncheckedIOException(unreadable);
        }
    }
}

package shoal.codec.metainfo;

import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.SequencedMap;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.ByteWriter;
import shoal.codec.base.MalformedException;

/**
 * Bencoding (BEP 3), read strictly: keys sorted and each there once, integers without leading zeros or a minus zero. So each
 * value has one form alone, and {@link #encode} gives back the bytes that were read.
 *
 * <p>Byte strings and keys are held as ISO 8859-1, one character a byte: they compare as their bytes do.
 */
public sealed interface Bencode {
    /** libtorrent's bound as well. */
    int MAX_DEPTH = 100;

    /** More values than the largest torrents have; bounds the memory for what is read. */
    int MAX_VALUES = 1 << 20;

    /** A whole number of 64 bits. */
    record Int(long value) implements Bencode {}

    /** A byte string. */
    record Bytes(String latin1) implements Bencode {
        public Bytes {
            for (int i = 0; i < latin1.length(); i++) {
                if (latin1.charAt(i) > 0xff) {
                    throw new IllegalArgumentException("character " + i + " is no byte");
                }
            }
        }

        public static Bytes of(byte[] bytes) {
            return new Bytes(new String(bytes, StandardCharsets.ISO_8859_1));
        }

        public static Bytes ofText(String text) {
            return of(text.getBytes(StandardCharsets.UTF_8));
        }

        public byte[] toBytes() {
            return latin1.getBytes(StandardCharsets.ISO_8859_1);
        }

        public int size() {
            return latin1.length();
        }

        /** The bytes read as UTF-8, null if they are none. */
        public @Nullable String text() {
            try {
                return StandardCharsets.UTF_8
                        .newDecoder()
                        .decode(ByteBuffer.wrap(toBytes()))
                        .toString();
            } catch (CharacterCodingException notUtf8) {
                return null;
            }
        }
    }

    record Items(List<Bencode> values) implements Bencode {
        public Items {
            values = List.copyOf(values);
        }
    }

    /** A dictionary, sorted by its keys' bytes. */
    record Dict(SequencedMap<String, Bencode> entries) implements Bencode {
        public Dict {
            entries = Collections.unmodifiableSequencedMap(new TreeMap<>(entries));
        }

        public static Dict of(Map<String, ? extends Bencode> entries) {
            return new Dict(new TreeMap<>(entries));
        }

        public @Nullable Bencode get(String key) {
            return entries.get(key);
        }

        /** @throws MalformedException naming the key if it is missing or no integer of min..max */
        public long requiredInt(String key, long min, long max) {
            if (!(entries.get(key) instanceof Int(long value))) {
                throw new MalformedException("'" + key + "' is missing or no integer");
            }
            if (value < min || value > max) {
                throw new MalformedException("'" + key + "' is " + value + ", allowed " + min + ".." + max);
            }
            return value;
        }

        /** @throws MalformedException naming the key if it is missing or no byte string */
        public Bytes requiredBytes(String key) {
            if (entries.get(key) instanceof Bytes bytes) {
                return bytes;
            }
            throw new MalformedException("'" + key + "' is missing or no string");
        }

        /** @throws MalformedException naming the key if it is missing or no dictionary */
        public Dict requiredDict(String key) {
            if (entries.get(key) instanceof Dict dict) {
                return dict;
            }
            throw new MalformedException("'" + key + "' is missing or no dictionary");
        }
    }

    /** Reads one value that fills bytes from its first to its last. @throws MalformedException otherwise */
    static Bencode parse(byte[] bytes) {
        var parser = new Parser(bytes);
        Bencode value = parser.value(1);
        if (parser.position < bytes.length) {
            throw new MalformedException("bencoded value ends at byte " + parser.position + ", "
                    + (bytes.length - parser.position) + " follow");
        }
        return value;
    }

    /** The one form that this value has. */
    default byte[] encode() {
        var out = new ByteWriter();
        write(this, out);
        return out.toBytes();
    }

    private static void write(Bencode value, ByteWriter out) {
        switch (value) {
            case Int(long number) -> out.putBytes(("i" + number + "e").getBytes(StandardCharsets.ISO_8859_1));
            case Bytes(String latin1) -> writeString(latin1, out);
            case Items(List<Bencode> values) -> {
                out.putByte('l');
                values.forEach(item -> write(item, out));
                out.putByte('e');
            }
            case Dict(SequencedMap<String, Bencode> entries) -> {
                out.putByte('d');
                entries.forEach((key, item) -> {
                    writeString(key, out);
                    write(item, out);
                });
                out.putByte('e');
            }
        }
    }

    private static void writeString(String latin1, ByteWriter out) {
        out.putBytes((latin1.length() + ":").getBytes(StandardCharsets.ISO_8859_1));
        out.putBytes(latin1.getBytes(StandardCharsets.ISO_8859_1));
    }

    /** One pass over the bytes; recursion is bounded by {@link #MAX_DEPTH}. */
    final class Parser {
        private final byte[] bytes;
        private int position;
        private int values;

        private Parser(byte[] bytes) {
            this.bytes = bytes;
        }

        private Bencode value(int depth) {
            if (depth > MAX_DEPTH) {
                throw new MalformedException("bencoded value nests deeper than " + MAX_DEPTH + " at byte " + position);
            }
            if (++values > MAX_VALUES) {
                throw new MalformedException("bencoded value has more than " + MAX_VALUES + " parts");
            }
            return switch (peek()) {
                case 'i' -> {
                    position++;
                    yield new Int(number('e'));
                }
                case 'l' -> items(depth);
                case 'd' -> dict(depth);
                default -> new Bytes(string());
            };
        }

        private Items items(int depth) {
            position++;
            var items = new ArrayList<Bencode>();
            while (peek() != 'e') {
                items.add(value(depth + 1));
            }
            position++;
            return new Items(items);
        }

        private Dict dict(int depth) {
            position++;
            var entries = new TreeMap<String, Bencode>();
            while (peek() != 'e') {
                int start = position;
                String key = string();
                if (!entries.isEmpty() && entries.lastKey().compareTo(key) >= 0) {
                    throw new MalformedException(
                            "bencoded keys are not sorted, or one is there twice, at byte " + start);
                }
                entries.put(key, value(depth + 1));
            }
            position++;
            return new Dict(entries);
        }

        private String string() {
            int start = position;
            if (peek() < '0' || peek() > '9') {
                throw unexpected();
            }
            long length = number(':');
            if (length > bytes.length - position) {
                throw new MalformedException("bencoded string at byte " + start + " has " + length + " bytes, only "
                        + (bytes.length - position) + " follow");
            }
            var latin1 = new String(bytes, position, (int) length, StandardCharsets.ISO_8859_1);
            position += (int) length;
            return latin1;
        }

        /** Reads digits, perhaps behind a minus, up to the end sign. */
        private long number(char end) {
            int start = position;
            boolean negative = peek() == '-';
            if (negative) {
                position++;
            }
            int digits = position;
            while (peek() != end) {
                if (peek() < '0' || peek() > '9') {
                    throw unexpected();
                }
                position++;
            }
            int count = position - digits;
            boolean leadingZero = count > 1 && bytes[digits] == '0' || negative && count > 0 && bytes[digits] == '0';
            if (count == 0 || count > 19 || leadingZero) {
                throw new MalformedException(
                        "bencoded number at byte " + start + " is not the shortest form of 64 bits");
            }
            try {
                return Long.parseLong(new String(bytes, start, position++ - start, StandardCharsets.ISO_8859_1));
            } catch (NumberFormatException tooBig) {
                throw new MalformedException("bencoded number at byte " + start + " passes 64 bits", tooBig);
            }
        }

        private int peek() {
            if (position >= bytes.length) {
                throw new MalformedException("bencoded value goes on behind the last byte, " + bytes.length);
            }
            return bytes[position];
        }

        private MalformedException unexpected() {
            return new MalformedException(
                    "bencoded value has an unexpected byte " + (bytes[position] & 0xff) + " at byte " + position);
        }
    }
}

package shoal.bridge.model.text.grammar;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.networknt.schema.SchemaRegistry;
import com.networknt.schema.SpecificationVersion;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import shoal.bridge.model.text.WordTokenizer;
import shoal.codec.base.MalformedException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** What is drawn at random under a schema is valid JSON, and valid under the schema by a validator that nobody here wrote. */
class JsonSchemaGrammarTest {
    private static final WordTokenizer WORDS = WordTokenizer.ofBytesAnd(List.of(
            "{\"", "\": ", "\",", "\"}", "true", "false", "null", "12", "-1", "0.5", "name", "é", "🐟", "]}", "},{",
            "  "));
    private static final JsonMapper JSON = JsonMapper.shared();

    private static Grammar grammar(String schema) {
        return Grammar.parse(JsonSchemaGrammar.gbnf(JSON.readValue(schema, Object.class)), null);
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "{}",
                "true",
                "{\"type\":\"object\"}",
                "{\"type\":[\"string\",\"null\"]}",
                "{\"type\":\"integer\"}",
                "{\"type\":\"integer\",\"minimum\":7,\"maximum\":1203}",
                "{\"type\":\"integer\",\"minimum\":-35,\"exclusiveMaximum\":4}",
                "{\"type\":\"integer\",\"minimum\":995}",
                "{\"type\":\"integer\",\"maximum\":-18}",
                "{\"type\":\"integer\",\"exclusiveMinimum\":0}",
                "{\"type\":\"number\"}",
                "{\"type\":\"number\",\"minimum\":0,\"maximum\":1}",
                "{\"type\":\"number\",\"exclusiveMinimum\":-2.5,\"exclusiveMaximum\":13}",
                "{\"type\":\"number\",\"exclusiveMinimum\":0}",
                "{\"type\":\"number\",\"maximum\":-7}",
                "{\"type\":\"string\",\"minLength\":2,\"maxLength\":5}",
                "{\"type\":\"string\",\"minLength\":3}",
                "{\"type\":\"string\",\"maxLength\":0}",
                "{\"type\":\"string\",\"format\":\"date\"}",
                "{\"type\":\"string\",\"format\":\"time\"}",
                "{\"type\":\"string\",\"format\":\"date-time\"}",
                "{\"type\":\"string\",\"format\":\"uuid\"}",
                "{\"type\":\"string\",\"pattern\":\"^[a-f]{2,4}(-\\\\d+)?$\"}",
                "{\"type\":\"string\",\"pattern\":\"^(\\\\\\\\|\\\"|[\\\\t\\\\n]x)+$\"}",
                "{\"type\":\"string\",\"pattern\":\"ab|^c\"}",
                "{\"type\":\"string\",\"pattern\":\"^[^a-z]*[.]\\\\w$\"}",
                "{\"enum\":[\"a\\\"b\",1,null,{\"x\":[1,2.5]},\"é\\n\"]}",
                "{\"const\":{\"a\":[true,\"\\\\\"]}}",
                "{\"type\":\"array\",\"items\":{\"type\":\"boolean\"},\"minItems\":2,\"maxItems\":4}",
                "{\"type\":\"array\",\"items\":{\"type\":\"integer\"},\"maxItems\":0}",
                "{\"type\":\"array\",\"minItems\":1}",
                "{\"type\":\"array\",\"prefixItems\":[{\"type\":\"string\"},{\"type\":\"null\"}],\"items\":false}",
                "{\"type\":\"array\",\"prefixItems\":[{\"const\":1}],\"items\":{\"const\":2},\"minItems\":3,\"maxItems\":5}",
                "{\"type\":\"array\",\"prefixItems\":[{\"const\":1},{\"const\":2}],\"maxItems\":1}",
                "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":\"string\"},\"c\":{}},\"required\":[\"b\"]}",
                "{\"type\":\"object\",\"properties\":{\"a\":{\"const\":1},\"b\":{\"const\":2}},\"additionalProperties\":false}",
                "{\"type\":\"object\",\"properties\":{\"a\":{\"const\":1},\"ab\":{\"const\":2},\"é\\\"\":{\"const\":3}},"
                        + "\"required\":[\"ab\"],\"additionalProperties\":{\"type\":\"boolean\"}}",
                "{\"type\":\"object\",\"required\":[\"x\",\"y\"]}",
                "{\"type\":\"object\",\"additionalProperties\":{\"type\":\"integer\"}}",
                "{\"anyOf\":[{\"type\":\"integer\"},{\"type\":\"array\",\"items\":{\"type\":\"null\"}}]}",
                "{\"oneOf\":[{\"type\":\"object\",\"properties\":{\"k\":{\"const\":\"a\"}},\"required\":[\"k\"]},"
                        + "{\"type\":\"object\",\"properties\":{\"k\":{\"const\":\"b\"}},\"required\":[\"k\"]}]}",
                "{\"allOf\":[{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\",\"minimum\":3}},\"required\":[\"a\"]},"
                        + "{\"properties\":{\"a\":{\"maximum\":9},\"b\":{\"type\":\"string\"}},\"required\":[\"b\"]}]}",
                "{\"type\":\"object\",\"properties\":{\"t\":{\"type\":\"null\"}},\"required\":[\"t\"],"
                        + "\"anyOf\":[{\"properties\":{\"a\":{\"const\":1}},\"required\":[\"a\"]},{\"required\":[\"t\"]}]}",
                "{\"$defs\":{\"tree\":{\"type\":\"object\",\"properties\":{\"v\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":9},"
                        + "\"kids\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/tree\"},\"maxItems\":2}},\"required\":[\"v\"]}},"
                        + "\"$ref\":\"#/$defs/tree\"}",
                "{\"definitions\":{\"a~/b\":{\"type\":\"boolean\"}},\"type\":\"array\",\"items\":{\"$ref\":\"#/definitions/a~0~1b\"}}"
            })
    void whatIsDrawnIsValid(String text) {
        JsonNode schema = JSON.readTree(text);
        var validator = SchemaRegistry.withDefaultDialect(SpecificationVersion.DRAFT_2020_12)
                .getSchema(schema);
        Grammar grammar = grammar(text);
        var matcher = new GrammarMatcher(grammar, WORDS);
        for (long seed = 0; seed < 25; seed++) {
            String drawn = draw(matcher, new Random(seed));
            JsonNode value = JSON.readTree(drawn);
            var errors = validator.validate(
                    value, context -> context.executionConfig(config -> config.formatAssertionsEnabled(true)));
            assertTrue(errors.isEmpty(), "seed " + seed + ": " + drawn + " " + errors);
        }
    }

    /** Tokens at random, those that close a little more often, so that texts end. */
    private static String draw(GrammarMatcher matcher, Random random) {
        List<Integer> ids = new ArrayList<>();
        var out = new java.io.ByteArrayOutputStream();
        while (true) {
            matcher.goTo(ids.stream().mapToInt(Integer::intValue).toArray(), 0);
            BitSet allowed = matcher.allowed();
            assertFalse(allowed.isEmpty(), "nothing fits behind " + out.toString(StandardCharsets.UTF_8));
            assertTrue(
                    out.size() < 5_000,
                    () -> "it does not end: "
                            + out.toString(StandardCharsets.UTF_8).substring(0, 300));
            int id = -1;
            int hurry = out.size() > 300 ? 2 : 5;
            for (int closing : new int[] {WORDS.end(), '}', ']', '"'}) {
                if (allowed.get(closing) && random.nextInt(hurry) == 0) {
                    id = closing;
                    break;
                }
            }
            int likely = "abc.".charAt(random.nextInt(4)); // what patterns wait for
            if (id < 0 && allowed.get(likely) && random.nextInt(3) > 0) {
                id = likely;
            }
            if (id < 0) {
                int[] choices = allowed.stream().toArray();
                id = choices[random.nextInt(choices.length)];
            }
            if (id == WORDS.end()) {
                return out.toString(StandardCharsets.UTF_8);
            }
            ids.add(id);
            out.writeBytes(WORDS.bytes(id, false));
        }
    }

    private static boolean accepts(String schema, String json) {
        var matcher = new GrammarMatcher(grammar(schema), WORDS);
        byte[] bytes = json.getBytes(StandardCharsets.UTF_8);
        int[] ids = new int[bytes.length];
        for (int i = 0; i < ids.length; i++) {
            ids[i] = bytes[i] & 0xFF;
        }
        matcher.goTo(ids, 0);
        return matcher.mayEnd();
    }

    /** Every whole number around the limits, each way. */
    @Test
    void wholeNumbersAreThoseWithinTheLimits() {
        for (long seed = 0; seed < 60; seed++) {
            var random = new Random(seed);
            int a = random.nextInt(2400) - 1200;
            int b = random.nextInt(2400) - 1200;
            int min = Math.min(a, b);
            int max = Math.max(a, b);
            var matcher = new GrammarMatcher(
                    grammar("{\"type\":\"integer\",\"minimum\":" + min + ",\"maximum\":" + max + "}"), WORDS);
            for (int value = -1300; value <= 1300; value += 1 + random.nextInt(3)) {
                byte[] bytes = Integer.toString(value).getBytes(StandardCharsets.UTF_8);
                int[] ids = new int[bytes.length];
                for (int i = 0; i < ids.length; i++) {
                    ids[i] = bytes[i];
                }
                matcher.goTo(ids, 0);
                assertEquals(min <= value && value <= max, matcher.mayEnd(), value + " in " + min + ".." + max);
            }
        }
    }

    @Test
    void leavesRoomForWhatIsMeant() {
        String person =
                "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"},\"age\":{\"type\":\"integer\"}},\"required\":[\"name\"]}";
        assertTrue(accepts(person, "{\"name\": \"Zoë\", \"age\": 7}"));
        assertTrue(accepts(person, "{\n  \"name\": \"Z\"\n}"));
        assertFalse(accepts(person, "{\"age\": 7}"));
        assertTrue(accepts("{\"type\":\"string\",\"format\":\"date\"}", "\"2024-02-29\""));
        assertFalse(accepts("{\"type\":\"string\",\"format\":\"date\"}", "\"2023-02-29\""));
        assertTrue(accepts("{\"type\":\"number\",\"minimum\":0}", "3.25"));
        assertFalse(accepts("{\"type\":\"number\",\"minimum\":0}", "-3.25"));
    }

    @ParameterizedTest
    @CsvSource(delimiter = '~', textBlock = """
            {"not":{}}                                   ~ the JSON schema's 'not' can't be kept to by a grammar; leave it out
            {"type":"array","uniqueItems":true}          ~ the JSON schema's 'uniqueItems' can't be kept to by a grammar; leave it out
            {"type":"wombat"}                            ~ the JSON schema's type 'wombat' is not known
            {"typ":"string"}                             ~ the JSON schema has 'typ', which is not known
            {"$ref":"http://example.com/x"}              ~ the JSON schema refers to 'http://example.com/x'; only places of its own, beginning with #, can be looked up
            {"$ref":"#/$defs/x"}                         ~ the JSON schema refers to '#/$defs/x', which is not there
            {"enum":[]}                                  ~ the JSON schema's 'enum' is empty
            {"type":"integer","minimum":3,"maximum":2}   ~ the JSON schema leaves no whole number between 3 and 2
            {"type":"string","pattern":"(?=a)"}          ~ the JSON schema's pattern has a group that looks around or has a name near character 1, which a grammar can't say
            {"type":"array","minItems":20000}            ~ the JSON schema wants at least 19999 of something, allowed 0..10000
            [1]                                          ~ the JSON schema has [1] as a schema, it must be an object
            {"type":"object","properties":{"a":false},"required":["a"]} ~ the JSON schema requires 'a' and does not allow it
            """)
    void refusesWhatItCantKeep(String schema, String message) {
        assertEquals(
                message,
                assertThrows(MalformedException.class, () -> grammar(schema)).getMessage());
    }

    @Test
    void circlesAreRefused() {
        for (String schema : List.of(
                "{\"$ref\":\"#\"}",
                "{\"$defs\":{\"a\":{\"allOf\":[{\"$ref\":\"#/$defs/a\"},{\"type\":\"string\"}]}},\"$ref\":\"#/$defs/a\"}",
                "{\"anyOf\":[{\"$ref\":\"#\"},{\"type\":\"null\"}]}",
                "{\"type\":\"array\",\"items\":".repeat(100) + "{}" + "}".repeat(100))) {
            assertThrows(MalformedException.class, () -> grammar(schema), schema.substring(0, 12));
        }
    }
}

package shoal.bridge.model.text.grammar;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.math.RoundingMode;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.MalformedException;

/**
 * A JSON schema as a grammar of texts that are valid under it (draft 2020-12, and what draft 7 calls otherwise). What the grammar can't
 * say is refused by name; what it says may be narrower than the schema, never wider: properties come in the schema's order, objects with
 * properties are closed unless additionalProperties opens them, oneOf is taken as anyOf.
 */
public final class JsonSchemaGrammar {
    private static final int MAX_DEPTH = 64;
    private static final int MAX_RULES = 20_000;

    /** Constraints that a grammar without memory can't keep. */
    private static final Set<String> REFUSED = Set.of(
            "not",
            "if",
            "then",
            "else",
            "patternProperties",
            "propertyNames",
            "minProperties",
            "maxProperties",
            "dependentRequired",
            "dependentSchemas",
            "dependencies",
            "contains",
            "minContains",
            "maxContains",
            "multipleOf",
            "$dynamicRef",
            "$recursiveRef");

    /** Say nothing about what is valid. */
    private static final Set<String> NOTES = Set.of(
            "title",
            "description",
            "default",
            "examples",
            "example",
            "$schema",
            "$id",
            "id",
            "$comment",
            "$anchor",
            "$vocabulary",
            "$defs",
            "definitions",
            "deprecated",
            "readOnly",
            "writeOnly",
            "contentEncoding",
            "contentMediaType",
            "unevaluatedProperties",
            "unevaluatedItems");

    private static final Map<String, String> SHARED = shared();

    private final Object root;
    private final Map<String, String> rules = new LinkedHashMap<>();
    private final Map<String, String> references = new LinkedHashMap<>();
    private int depth;

    private JsonSchemaGrammar(Object root) {
        this.root = root;
    }

    /**
     * The grammar in GBNF. @param schema as a JSON reader gives it: maps with texts as keys, lists, texts, numbers, truth values, nulls
     * @throws MalformedException naming what is no schema, or can't be kept to
     */
    public static String gbnf(Object schema) {
        var made = new JsonSchemaGrammar(schema);
        made.references.put("#", "schema");
        String body = made.visit(schema);
        var text = new StringBuilder("root ::= ws schema ws\nschema ::= ")
                .append(body)
                .append('\n');
        made.rules.forEach(
                (name, rule) -> text.append(name).append(" ::= ").append(rule).append('\n'));
        SHARED.forEach(
                (name, rule) -> text.append(name).append(" ::= ").append(rule).append('\n'));
        return text.toString();
    }

    private static Map<String, String> shared() {
        Map<String, String> rules = new LinkedHashMap<>();
        rules.put("ws", "| \" \" | \"\\n\" [ \\t]{0,20}");
        rules.put("plain", "[^\"\\\\\\x00-\\x1F\\x7F]");
        rules.put("hex", "[0-9a-fA-F]");
        // no halves of surrogate pairs: such an escape alone is no character
        rules.put("char", "plain | \"\\\\\" ([\"\\\\/bfnrt] | \"u\" ([0-9a-cA-CefEF] hex{3} | [dD] [0-7] hex{2}))");
        rules.put("string", "\"\\\"\" char* \"\\\"\"");
        rules.put("whole", "\"0\" | [1-9] [0-9]{0,15}");
        rules.put("integer", "\"-\"? whole");
        rules.put("number", "\"-\"? whole (\".\" [0-9]{1,16})? ([eE] [-+]? [0-9]{1,2})?");
        rules.put("boolean", "\"true\" | \"false\"");
        rules.put("null", "\"null\"");
        rules.put("value", "object | array | string | number | boolean | null");
        rules.put("member", "string ws \":\" ws value ws");
        rules.put("object", "\"{\" ws (member (\",\" ws member)*)? \"}\"");
        rules.put("array", "\"[\" ws (value ws (\",\" ws value ws)*)? \"]\"");
        return rules;
    }

    private String rule(String body) {
        if (rules.size() == MAX_RULES) {
            throw new MalformedException("the JSON schema is too large: more than " + MAX_RULES + " rules");
        }
        String name = "r" + rules.size();
        rules.put(name, body);
        return name;
    }

    // ------------------------------------------------------------------------------------------------ schemas

    /** A schema's texts as one alternative or several, fit for the right side of a rule. */
    private String visit(Object schema) {
        if (++depth > MAX_DEPTH) {
            throw new MalformedException("the JSON schema is nested deeper than " + MAX_DEPTH);
        }
        try {
            if (Boolean.TRUE.equals(schema)) {
                return "value";
            }
            if (Boolean.FALSE.equals(schema)) {
                throw new MalformedException("the JSON schema has a 'false' where something must stand");
            }
            return visitMap(map(schema, "a schema"));
        } finally {
            depth--;
        }
    }

    private String visitMap(Map<String, @Nullable Object> schema) {
        for (String key : schema.keySet()) {
            if (REFUSED.contains(key)) {
                throw new MalformedException(
                        "the JSON schema's '" + key + "' can't be kept to by a grammar; leave it out");
            }
        }
        if (Boolean.TRUE.equals(schema.get("uniqueItems"))) {
            throw new MalformedException("the JSON schema's 'uniqueItems' can't be kept to by a grammar; leave it out");
        }
        if (schema.containsKey("$ref")) {
            Map<String, @Nullable Object> rest = without(schema, "$ref");
            String pointer = text(schema.get("$ref"), "$ref");
            if (!says(rest)) {
                return reference(pointer);
            }
            return visitMap(merge(rest, map(resolve(pointer), pointer)));
        }
        if (schema.containsKey("allOf")) {
            Map<String, @Nullable Object> merged = without(schema, "allOf");
            for (Object part : list(schema.get("allOf"), "allOf")) {
                merged = merge(merged, expanded(part));
            }
            return visitMap(merged);
        }
        for (String key : List.of("anyOf", "oneOf")) {
            if (schema.containsKey(key)) {
                Map<String, @Nullable Object> rest = without(schema, key);
                List<String> options = new ArrayList<>();
                for (Object option : list(schema.get(key), key)) {
                    options.add(rule(says(rest) ? visitMap(merge(rest, expanded(option))) : visit(option)));
                }
                if (options.isEmpty()) {
                    throw new MalformedException("the JSON schema's '" + key + "' is empty");
                }
                return String.join(" | ", options);
            }
        }
        if (schema.containsKey("const")) {
            return literal(schema.get("const"));
        }
        if (schema.containsKey("enum")) {
            List<String> values = new ArrayList<>();
            for (Object value : list(schema.get("enum"), "enum")) {
                values.add(literal(value));
            }
            if (values.isEmpty()) {
                throw new MalformedException("the JSON schema's 'enum' is empty");
            }
            return String.join(" | ", values);
        }
        Object type = schema.get("type");
        if (type instanceof List<?> several) {
            List<String> options = new ArrayList<>();
            for (Object one : several) {
                options.add(rule(ofType(text(one, "type"), schema)));
            }
            if (options.isEmpty()) {
                throw new MalformedException("the JSON schema's 'type' is empty");
            }
            return String.join(" | ", options);
        }
        return ofType(type == null ? guessed(schema) : text(type, "type"), schema);
    }

    private static boolean says(Map<String, @Nullable Object> schema) {
        return schema.keySet().stream().anyMatch(key -> !NOTES.contains(key));
    }

    /** The type that constraints speak of, where none is named. */
    private static String guessed(Map<String, @Nullable Object> schema) {
        for (String key : schema.keySet()) {
            switch (key) {
                case "properties", "required", "additionalProperties" -> {
                    return "object";
                }
                case "items", "prefixItems", "minItems", "maxItems", "additionalItems" -> {
                    return "array";
                }
                case "pattern", "format", "minLength", "maxLength" -> {
                    return "string";
                }
                case "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum" -> {
                    return "number";
                }
                default -> {
                    if (!NOTES.contains(key)) {
                        throw new MalformedException(
                                "the JSON schema has '" + shortened(key) + "', which is not known");
                    }
                }
            }
        }
        return "any";
    }

    private String ofType(String type, Map<String, @Nullable Object> schema) {
        return switch (type) {
            case "any" -> "value";
            case "null" -> "null";
            case "boolean" -> "boolean";
            case "string" -> string(schema);
            case "integer" -> integer(schema);
            case "number" -> number(schema);
            case "array" -> array(schema);
            case "object" -> object(schema);
            default -> throw new MalformedException("the JSON schema's type '" + shortened(type) + "' is not known");
        };
    }

    // --------------------------------------------------------------------------------------------- references

    private String reference(String pointer) {
        String known = references.get(pointer);
        if (known == null) {
            Object target = resolve(pointer);
            known = "ref" + references.size();
            references.put(pointer, known); // before its body is made: it may be about itself
            rules.put(known, "");
            rules.put(known, visit(target));
        }
        return known;
    }

    private Object resolve(String pointer) {
        if (!pointer.startsWith("#")) {
            throw new MalformedException("the JSON schema refers to '" + shortened(pointer)
                    + "'; only places of its own, beginning with #, can be looked up");
        }
        Object at = root;
        for (String step : pointer.substring(1).split("/")) {
            if (step.isEmpty()) {
                continue;
            }
            String key = java.net.URLDecoder.decode(step.replace("+", "%2B"), java.nio.charset.StandardCharsets.UTF_8)
                    .replace("~1", "/")
                    .replace("~0", "~");
            Object next = null;
            if (at instanceof Map<?, ?> map) {
                next = map.get(key);
            } else if (at instanceof List<?> list && key.matches("[0-9]{1,6}") && Integer.parseInt(key) < list.size()) {
                next = list.get(Integer.parseInt(key));
            }
            if (next == null) {
                throw new MalformedException(
                        "the JSON schema refers to '" + shortened(pointer) + "', which is not there");
            }
            at = next;
        }
        return at;
    }

    /** A schema with its reference, if any, and its allOf put in. */
    private Map<String, @Nullable Object> expanded(Object schema) {
        if (++depth > MAX_DEPTH) {
            throw new MalformedException(
                    "the JSON schema's references and allOf run in a circle, or deeper than " + MAX_DEPTH);
        }
        try {
            if (Boolean.TRUE.equals(schema)) {
                return Map.of();
            }
            Map<String, @Nullable Object> result = map(schema, "a schema");
            if (result.containsKey("$ref")) {
                String pointer = text(result.get("$ref"), "$ref");
                result = merge(without(result, "$ref"), expanded(resolve(pointer)));
            }
            if (result.containsKey("allOf")) {
                List<?> parts = list(result.get("allOf"), "allOf");
                result = without(result, "allOf");
                for (Object part : parts) {
                    result = merge(result, expanded(part));
                }
            }
            return result;
        } finally {
            depth--;
        }
    }

    /** What both allow. */
    private Map<String, @Nullable Object> merge(Map<String, @Nullable Object> a, Map<String, @Nullable Object> b) {
        Map<String, @Nullable Object> merged = new LinkedHashMap<>(a);
        b.forEach((key, value) -> {
            Object mine = merged.get(key);
            if (mine == null || NOTES.contains(key) || mine.equals(value)) {
                if (!NOTES.contains(key) || mine == null) {
                    merged.put(key, value);
                }
                return;
            }
            merged.put(
                    key,
                    switch (key) {
                        case "properties" -> {
                            Map<String, @Nullable Object> all = new LinkedHashMap<>(map(mine, key));
                            map(value, key).forEach((name, schema) -> {
                                Object had = all.get(name);
                                all.put(
                                        name,
                                        had == null
                                                ? schema
                                                : Map.of("allOf", List.of(had, Objects.requireNonNull(schema))));
                            });
                            yield all;
                        }
                        case "required" -> {
                            Set<Object> all = new LinkedHashSet<>(list(mine, key));
                            all.addAll(list(value, key));
                            yield List.copyOf(all);
                        }
                        case "type", "enum" -> {
                            List<Object> both =
                                    new ArrayList<>(mine instanceof List<?> several ? several : List.of(mine));
                            List<?> others =
                                    value instanceof List<?> several ? several : List.of(Objects.requireNonNull(value));
                            both.removeIf(one -> !others.contains(one)
                                    && !(key.equals("type") && one.equals("integer") && others.contains("number")));
                            if (both.isEmpty() && key.equals("type") && others.contains("integer")) {
                                both.add("integer");
                            }
                            yield both.size() == 1 && key.equals("type") ? both.getFirst() : both;
                        }
                        case "minimum", "exclusiveMinimum", "minLength", "minItems" ->
                            decimal(mine, key).max(decimal(value, key));
                        case "maximum", "exclusiveMaximum", "maxLength", "maxItems" ->
                            decimal(mine, key).min(decimal(value, key));
                        case "items" -> Map.of("allOf", List.of(mine, Objects.requireNonNull(value)));
                        case "additionalProperties" -> {
                            if (mine.equals(true)) {
                                yield value;
                            }
                            if (mine.equals(false) || Boolean.TRUE.equals(value)) {
                                yield mine;
                            }
                            yield Boolean.FALSE.equals(value)
                                    ? value
                                    : Map.of("allOf", List.of(mine, Objects.requireNonNull(value)));
                        }
                        default ->
                            throw new MalformedException("the JSON schema says '" + shortened(key)
                                    + "' in two places that must both hold; say it once");
                    });
        });
        return merged;
    }

    // ------------------------------------------------------------------------------------------------ strings

    private String string(Map<String, @Nullable Object> schema) {
        BigInteger min = Objects.requireNonNullElse(count(schema, "minLength"), BigInteger.ZERO);
        BigInteger max = count(schema, "maxLength");
        boolean sized = min.signum() > 0 || max != null;
        Object pattern = schema.get("pattern");
        if (pattern != null) {
            if (sized) {
                throw new MalformedException(
                        "the JSON schema has a 'pattern' and a length for the same text; say the length in the pattern");
            }
            return quoted(PatternGrammar.gbnf(text(pattern, "pattern")));
        }
        Object format = schema.get("format");
        String known = format instanceof String name ? format(name) : null;
        if (known != null && !sized) {
            return quoted(known);
        }
        return sized ? quoted("char" + times(min, max)) : "string";
    }

    private static String quoted(String body) {
        return "\"\\\"\" (" + body + ") \"\\\"\"";
    }

    /** Null for a format that says nothing here. */
    private static @Nullable String format(String name) {
        String year = "[0-9]{4}";
        String date = "(" + year + " \"-\" ((\"0\" [13578] | \"1\" [02]) \"-\" (\"0\" [1-9] | [12] [0-9] | \"3\" [01])"
                + " | (\"0\" [469] | \"11\") \"-\" (\"0\" [1-9] | [12] [0-9] | \"30\")"
                + " | \"02-\" (\"0\" [1-9] | \"1\" [0-9] | \"2\" [0-8]))"
                + " | ([0-9]{2} (\"0\" [48] | [2468] [048] | [13579] [26]) | ([02468] [048] | [13579] [26]) \"00\") \"-02-29\")";
        String time = "([01] [0-9] | \"2\" [0-3]) \":\" [0-5] [0-9] \":\" [0-5] [0-9] (\".\" [0-9]{1,9})?"
                + " (\"Z\" | [-+] ([01] [0-9] | \"2\" [0-3]) \":\" [0-5] [0-9])";
        return switch (name) {
            case "date" -> date;
            case "time" -> time;
            case "date-time" -> date + " \"T\" " + time;
            case "uuid" -> "hex{8} \"-\" hex{4} \"-\" hex{4} \"-\" hex{4} \"-\" hex{12}";
            default -> null;
        };
    }

    // ------------------------------------------------------------------------------------------------ numbers

    private record Limits(
            @Nullable BigDecimal min,
            boolean minOpen,
            @Nullable BigDecimal max,
            boolean maxOpen) {
        boolean isNone() {
            return min == null && max == null;
        }

        /** The least whole number within, or null for no limit. */
        @Nullable BigInteger least() {
            if (min == null) {
                return null;
            }
            BigInteger up = min.setScale(0, RoundingMode.CEILING).toBigInteger();
            return minOpen && new BigDecimal(up).compareTo(min) == 0 ? up.add(BigInteger.ONE) : up;
        }

        @Nullable BigInteger greatest() {
            if (max == null) {
                return null;
            }
            BigInteger down = max.setScale(0, RoundingMode.FLOOR).toBigInteger();
            return maxOpen && new BigDecimal(down).compareTo(max) == 0 ? down.subtract(BigInteger.ONE) : down;
        }
    }

    private static Limits limits(Map<String, @Nullable Object> schema) {
        BigDecimal min = schema.containsKey("minimum") ? decimal(schema.get("minimum"), "minimum") : null;
        BigDecimal max = schema.containsKey("maximum") ? decimal(schema.get("maximum"), "maximum") : null;
        boolean minOpen = false;
        boolean maxOpen = false;
        if (schema.get("exclusiveMinimum") instanceof Number) {
            BigDecimal other = decimal(schema.get("exclusiveMinimum"), "exclusiveMinimum");
            if (min == null || other.compareTo(min) >= 0) {
                min = other;
                minOpen = true;
            }
        }
        if (schema.get("exclusiveMaximum") instanceof Number) {
            BigDecimal other = decimal(schema.get("exclusiveMaximum"), "exclusiveMaximum");
            if (max == null || other.compareTo(max) <= 0) {
                max = other;
                maxOpen = true;
            }
        }
        return new Limits(min, minOpen, max, maxOpen);
    }

    private static String integer(Map<String, @Nullable Object> schema) {
        Limits limits = limits(schema);
        return limits.isNone() ? "integer" : wholeBetween(limits.least(), limits.greatest());
    }

    private static String wholeBetween(@Nullable BigInteger least, @Nullable BigInteger greatest) {
        List<String> options = new ArrayList<>();
        if (greatest == null || greatest.signum() >= 0) {
            options.add(digits(least == null ? BigInteger.ZERO : least.max(BigInteger.ZERO), greatest));
        }
        if (least == null || least.signum() < 0) {
            BigInteger from = greatest == null || greatest.signum() >= 0 ? BigInteger.ONE : greatest.negate();
            options.add("\"-\" (" + digits(from, least == null ? null : least.negate()) + ")");
        }
        options.removeIf(String::isEmpty);
        if (options.isEmpty() || least != null && greatest != null && least.compareTo(greatest) > 0) {
            throw new MalformedException(
                    "the JSON schema leaves no whole number between " + least + " and " + greatest);
        }
        return String.join(" | ", options);
    }

    /** Decimal numbers from..to, neither below 0, without leading zeros; to null for 16 digits or as many as from has, and one more. */
    private static String digits(BigInteger from, @Nullable BigInteger to) {
        int length = from.toString().length();
        if (length > 100 || to != null && to.toString().length() > 100) {
            throw new MalformedException("a limit in the JSON schema has more than 100 digits");
        }
        List<String> options = new ArrayList<>();
        BigInteger low = from;
        int last = to == null ? length : to.toString().length();
        for (int digits = length; digits <= last; digits++) {
            BigInteger high = BigInteger.TEN.pow(digits).subtract(BigInteger.ONE);
            if (to != null) {
                high = high.min(to);
            }
            if (low.compareTo(high) <= 0) {
                sameLength(low.toString(), high.toString(), "", options);
            }
            low = BigInteger.TEN.pow(digits);
        }
        if (to == null) {
            options.add("[1-9] [0-9]{" + length + "," + Math.max(15, length + 1) + "}");
        }
        return String.join(" | ", options);
    }

    private static void sameLength(String low, String high, String prefix, List<String> options) {
        if (low.isEmpty()) {
            options.add("\"" + prefix + "\"");
            return;
        }
        int rest = low.length() - 1;
        if (low.equals("0".repeat(rest + 1)) && high.equals("9".repeat(rest + 1))) {
            options.add((prefix.isEmpty() ? "" : "\"" + prefix + "\" ") + "[0-9]{" + (rest + 1) + "}");
            return;
        }
        char from = low.charAt(0);
        char to = high.charAt(0);
        if (from == to) {
            sameLength(low.substring(1), high.substring(1), prefix + from, options);
            return;
        }
        boolean lowWhole = low.substring(1).equals("0".repeat(rest));
        boolean highWhole = high.substring(1).equals("9".repeat(rest));
        if (!lowWhole) {
            sameLength(low.substring(1), "9".repeat(rest), prefix + from, options);
        }
        char first = lowWhole ? from : (char) (from + 1);
        char last = highWhole ? to : (char) (to - 1);
        if (first <= last) {
            options.add((prefix.isEmpty() ? "" : "\"" + prefix + "\" ") + "[" + first + "-" + last + "]"
                    + (rest == 0 ? "" : " [0-9]{" + rest + "}"));
        }
        if (!highWhole) {
            sameLength("0".repeat(rest), high.substring(1), prefix + to, options);
        }
    }

    /** Whole numbers within the limits, and those with a fraction that lie between two whole numbers within them. */
    private static String number(Map<String, @Nullable Object> schema) {
        Limits limits = limits(schema);
        if (limits.isNone()) {
            return "number";
        }
        BigInteger least = limits.least();
        BigInteger greatest = limits.greatest();
        List<String> options = new ArrayList<>();
        if (least == null || greatest == null || least.compareTo(greatest) <= 0) {
            options.add(wholeBetween(least, greatest));
        }
        String fraction = ") \".\" [0-9]{0,14} [1-9]";
        BigInteger floor = limits.min == null
                ? null
                : limits.min.setScale(0, RoundingMode.CEILING).toBigInteger();
        BigInteger ceiling = limits.max == null
                ? null
                : limits.max.setScale(0, RoundingMode.FLOOR).toBigInteger();
        BigInteger above = ceiling == null ? null : ceiling.subtract(BigInteger.ONE);
        if (above == null || above.signum() >= 0) {
            String whole = digits(floor == null ? BigInteger.ZERO : floor.max(BigInteger.ZERO), above);
            if (!whole.isEmpty()) {
                options.add("(" + whole + fraction);
            }
        }
        BigInteger below = floor == null ? null : floor.negate().subtract(BigInteger.ONE);
        if (below == null || below.signum() >= 0) {
            String whole =
                    digits(ceiling == null ? BigInteger.ZERO : ceiling.negate().max(BigInteger.ZERO), below);
            if (!whole.isEmpty()) {
                options.add("\"-\" (" + whole + fraction);
            }
        }
        if (options.isEmpty()) {
            throw new MalformedException(
                    "the JSON schema's limits of a number leave no whole number and no gap between two"
                            + " whole numbers; make them wider");
        }
        return String.join(" | ", options);
    }

    // ------------------------------------------------------------------------------------------------- arrays

    private String array(Map<String, @Nullable Object> schema) {
        List<?> first = schema.containsKey("prefixItems") ? list(schema.get("prefixItems"), "prefixItems") : List.of();
        Object rest = schema.get("items");
        if (rest instanceof List<?> tuple) { // draft 7
            first = tuple;
            rest = schema.get("additionalItems");
        }
        BigInteger min = Objects.requireNonNullElse(count(schema, "minItems"), BigInteger.ZERO);
        BigInteger max = count(schema, "maxItems");
        if (max != null && BigInteger.valueOf(first.size()).compareTo(max) > 0) {
            first = first.subList(0, max.intValue());
        }
        StringBuilder body = new StringBuilder("\"[\" ws ");
        for (int i = 0; i < first.size(); i++) {
            body.append(i == 0 ? "" : "\",\" ws ")
                    .append(rule(visit(Objects.requireNonNull(first.get(i)))))
                    .append(" ws ");
        }
        BigInteger done = BigInteger.valueOf(first.size());
        BigInteger least = min.subtract(done).max(BigInteger.ZERO);
        BigInteger most = max == null ? null : max.subtract(done);
        boolean closed = Boolean.FALSE.equals(rest) || rest == null && !first.isEmpty() && least.signum() == 0;
        if (closed && least.signum() > 0) {
            throw new MalformedException(
                    "the JSON schema's 'minItems' is " + min + ", but it allows " + done + " items");
        }
        if (!closed && (most == null || most.signum() > 0)) {
            String item = rest == null ? "value" : rule(visit(rest));
            BigInteger one = BigInteger.ONE;
            if (first.isEmpty()) {
                String all = item + " ws (\",\" ws " + item + " ws)"
                        + times(least.subtract(one).max(BigInteger.ZERO), most == null ? null : most.subtract(one));
                body.append(least.signum() == 0 ? "(" + all + ")? " : all + " ");
            } else {
                body.append("(\",\" ws ")
                        .append(item)
                        .append(" ws)")
                        .append(times(least, most))
                        .append(' ');
            }
        }
        return body.append("\"]\"").toString();
    }

    // ------------------------------------------------------------------------------------------------ objects

    private String object(Map<String, @Nullable Object> schema) {
        Map<String, @Nullable Object> properties =
                schema.get("properties") == null ? Map.of() : map(schema.get("properties"), "properties");
        Set<String> required = new LinkedHashSet<>();
        if (schema.get("required") != null) {
            for (Object name : list(schema.get("required"), "required")) {
                required.add(text(name, "required"));
            }
        }
        Object additional = schema.get("additionalProperties");
        if (properties.isEmpty() && required.isEmpty() && (additional == null || additional.equals(true))) {
            return "object";
        }
        boolean open = additional != null && !additional.equals(false);
        Map<String, Object> members = new LinkedHashMap<>();
        properties.forEach((name, member) -> members.put(name, Objects.requireNonNull(member, "a property is null")));
        for (String name : required) { // of which nothing is said but that they must be there
            if (!members.containsKey(name)) {
                if (Boolean.FALSE.equals(additional)) {
                    throw new MalformedException(
                            "the JSON schema requires '" + shortened(name) + "' and does not allow it");
                }
                members.put(name, open ? Objects.requireNonNull(additional) : true);
            }
        }
        String rest = "";
        String begin = "";
        if (open) {
            String member = rule(otherKey(members.keySet()) + " ws \":\" ws "
                    + rule(visit(Objects.requireNonNull(additional))) + " ws");
            rest = rule("(\",\" ws " + member + ")*");
            begin = rule("(" + member + " " + rest + ")?");
        }
        List<String> names = new ArrayList<>(members.keySet());
        for (int i = names.size() - 1; i >= 0; i--) {
            String name = names.get(i);
            Object member = members.get(name);
            boolean must = required.contains(name);
            if (Boolean.FALSE.equals(member)) {
                if (must) {
                    throw new MalformedException(
                            "the JSON schema requires '" + shortened(name) + "' and does not allow it");
                }
                continue;
            }
            String pair =
                    rule(quotedLiteral(name) + " ws \":\" ws " + rule(visit(Objects.requireNonNull(member))) + " ws");
            String first = pair + " " + rest;
            String more = "\",\" ws " + pair;
            begin = rule(must ? first : first + " | " + (begin.isEmpty() ? "\"\"" : begin));
            rest = rule((must ? more : "(" + more + ")?") + " " + rest);
        }
        return "\"{\" ws " + begin + " \"}\"";
    }

    /** A key that is none of the names, without escapes: an escaped one might be one of them after all. */
    private String otherKey(Set<String> names) {
        var trie = new Branch();
        for (String name : names) {
            Branch at = trie;
            for (int c : name.codePoints().toArray()) {
                at = at.next.computeIfAbsent(c, _ -> new Branch());
            }
            at.isName = true;
        }
        return "\"\\\"\" " + rule(other(trie, 0)) + " \"\\\"\"";
    }

    private static final class Branch {
        private final Map<Integer, Branch> next = new TreeMap<>();
        private boolean isName;
    }

    private String other(Branch at, int deep) {
        if (deep > 500) {
            throw new MalformedException("the JSON schema has a property with a name of more than 500 characters");
        }
        List<String> options = new ArrayList<>();
        var taken = new ArrayList<CodePoints.Range>();
        at.next.forEach((c, branch) -> {
            taken.add(new CodePoints.Range(c, c));
            if (c != '"' && c != '\\' && c >= ' ' && c != 0x7F) {
                options.add(PatternGrammar.characterClass(CodePoints.of(c)) + " " + rule(other(branch, deep + 1)));
            }
        });
        CodePoints free = CodePoints.of(taken).complement().and(PatternGrammar.PLAIN);
        options.add(PatternGrammar.characterClass(free) + " plain*");
        if (!at.isName) {
            options.add("\"\"");
        }
        return String.join(" | ", options);
    }

    // ----------------------------------------------------------------------------------------------- literals

    private static String literal(@Nullable Object value) {
        var json = new StringBuilder();
        writeJson(value, json, 0);
        return gbnfLiteral(json.toString());
    }

    private static String quotedLiteral(String text) {
        return literal(text);
    }

    private static String gbnfLiteral(String text) {
        var out = new StringBuilder("\"");
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            switch (c) {
                case '"' -> out.append("\\\"");
                case '\\' -> out.append("\\\\");
                default -> out.append(c);
            }
        }
        return out.append('"').toString();
    }

    private static void writeJson(@Nullable Object value, StringBuilder out, int deep) {
        if (deep > MAX_DEPTH) {
            throw new MalformedException("a value in the JSON schema is nested deeper than " + MAX_DEPTH);
        }
        switch (value) {
            case null -> out.append("null");
            case String text -> writeText(text, out);
            case Map<?, ?> map -> {
                out.append('{');
                String comma = "";
                for (Map.Entry<?, ?> entry : map.entrySet()) {
                    out.append(comma);
                    writeText(String.valueOf(entry.getKey()), out);
                    out.append(':');
                    writeJson(entry.getValue(), out, deep + 1);
                    comma = ",";
                }
                out.append('}');
            }
            case List<?> list -> {
                out.append('[');
                String comma = "";
                for (Object entry : list) {
                    out.append(comma);
                    writeJson(entry, out, deep + 1);
                    comma = ",";
                }
                out.append(']');
            }
            case Number number -> out.append(number);
            case Boolean truth -> out.append(truth);
            default -> throw new MalformedException("the JSON schema has a value of an unknown kind");
        }
    }

    private static void writeText(String text, StringBuilder out) {
        out.append('"');
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            switch (c) {
                case '"' -> out.append("\\\"");
                case '\\' -> out.append("\\\\");
                case '\n' -> out.append("\\n");
                case '\r' -> out.append("\\r");
                case '\t' -> out.append("\\t");
                default -> {
                    boolean lone = Character.isSurrogate(c)
                            && !(Character.isHighSurrogate(c)
                                            && i + 1 < text.length()
                                            && Character.isLowSurrogate(text.charAt(i + 1))
                                    || Character.isLowSurrogate(c)
                                            && i > 0
                                            && Character.isHighSurrogate(text.charAt(i - 1)));
                    if (c < ' ' || c == 0x7F || lone) {
                        out.append(String.format(java.util.Locale.ROOT, "\\u%04x", (int) c));
                    } else {
                        out.append(c);
                    }
                }
            }
        }
        out.append('"');
    }

    // ------------------------------------------------------------------------------------------------ reading

    private static String times(BigInteger min, @Nullable BigInteger max) {
        BigInteger most = BigInteger.valueOf(GbnfParser.MAX_REPEAT);
        if (min.compareTo(most) > 0) {
            throw new MalformedException("the JSON schema wants at least " + min + " of something, allowed 0.." + most);
        }
        if (max != null && max.compareTo(min) < 0) {
            throw new MalformedException(
                    "the JSON schema wants at least " + min + " and at most " + max + " of something");
        }
        return "{" + min + "," + (max == null ? "" : max.min(most)) + "}";
    }

    private static @Nullable BigInteger count(Map<String, @Nullable Object> schema, String key) {
        if (schema.get(key) == null) {
            return null;
        }
        BigDecimal value = decimal(schema.get(key), key);
        if (value.signum() < 0 || value.stripTrailingZeros().scale() > 0 || value.precision() > 100) {
            throw new MalformedException("the JSON schema's '" + key + "' is " + shortened(value.toString())
                    + ", it must be a whole number from 0 on");
        }
        return value.toBigInteger();
    }

    private static BigDecimal decimal(@Nullable Object value, String key) {
        if (value instanceof Number number && Double.isFinite(number.doubleValue())) {
            BigDecimal decimal = new BigDecimal(number.toString());
            if (Math.abs(decimal.scale()) <= 400) {
                return decimal;
            }
        }
        throw new MalformedException(
                "the JSON schema's '" + key + "' is " + shortened(String.valueOf(value)) + ", it must be a number");
    }

    private static String text(@Nullable Object value, String key) {
        if (value instanceof String text) {
            return text;
        }
        throw new MalformedException(
                "the JSON schema's '" + key + "' has " + shortened(String.valueOf(value)) + ", it must be a text");
    }

    private static List<?> list(@Nullable Object value, String key) {
        if (value instanceof List<?> list) {
            return list;
        }
        throw new MalformedException(
                "the JSON schema's '" + key + "' is " + shortened(String.valueOf(value)) + ", it must be a list");
    }

    @SuppressWarnings("unchecked") // a JSON reader's maps have texts as keys
    private static Map<String, @Nullable Object> map(@Nullable Object value, String key) {
        if (value instanceof Map<?, ?> map) {
            return (Map<String, @Nullable Object>) map;
        }
        throw new MalformedException("the JSON schema has " + shortened(String.valueOf(value)) + " as " + shortened(key)
                + ", it must be an object");
    }

    private static Map<String, @Nullable Object> without(Map<String, @Nullable Object> schema, String key) {
        Map<String, @Nullable Object> rest = new LinkedHashMap<>(schema);
        rest.remove(key);
        return rest;
    }

    private static String shortened(String text) {
        String line = text.lines().findFirst().orElse("");
        return line.length() > 60 ? line.substring(0, 60) + "…" : line;
    }
}

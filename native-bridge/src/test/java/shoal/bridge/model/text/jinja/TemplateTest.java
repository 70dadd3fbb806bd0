package shoal.bridge.model.text.jinja;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.InputStream;
import java.time.LocalDateTime;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.ObjectMapper;

/** Small templates give what jinja2 gives, and hostile ones end soon with a clear error. */
class TemplateTest {
    private static final LocalDateTime NOW = LocalDateTime.parse("2026-01-05T09:07:03");

    /** Where we differ, and know it: Python's own names for objects and smallest number. */
    private static final Set<String> DIFFERENT = Set.of("{{ d.items }}", "{{ range(3) }}", "{{ 5e-324 }}");

    @Test
    @SuppressWarnings("unchecked")
    void rendersAsTheReferenceEngine() throws IOException {
        ObjectMapper mapper = new ObjectMapper();
        JsonNode references;
        try (InputStream in = Objects.requireNonNull(getClass().getResourceAsStream("/jinja/references.json"))) {
            references = mapper.readTree(in);
        }
        Map<String, Object> variables = mapper.convertValue(references.get("variables"), Map.class);
        LocalDateTime now = LocalDateTime.parse(references.get("now").asString());
        List<String> wrong = new ArrayList<>();
        int checked = 0;
        for (JsonNode expected : references.get("records")) {
            String source = expected.get("template").asString();
            String want = expected.has("output")
                    ? expected.get("output").asString()
                    : expected.has("raised")
                            ? "raised " + expected.get("raised").asString()
                            : "failed";
            String got;
            String why = "";
            try {
                got = Template.parse(source).render(variables, now);
            } catch (TemplateException failure) {
                got = failure.raisedByTemplate() ? "raised " + failure.getMessage() : "failed";
                why = " (" + failure.getMessage() + ")";
            }
            checked++;
            if (DIFFERENT.contains(source.strip())) {
                assertNotEquals(want, got, "no longer different: " + source);
            } else if (!got.equals(want)) {
                wrong.add(source + "\n   expected " + want + "\n   but was  " + got + why);
            }
        }
        assertEquals("", String.join("\n", wrong), wrong.size() + " of " + checked + " differ");
        assertTrue(checked > 400, "templates checked: " + checked);
    }

    /** Each would take hours, gigabytes or the whole stack. */
    static List<String> hostile() {
        String manyTimes = "{% for a in range(99999) %}";
        return List.of(
                manyTimes + manyTimes + "{% endfor %}{% endfor %}",
                "{% set ns = namespace(t='xxxxxxxx') %}" + manyTimes + "{% set ns.t = ns.t + ns.t %}{% endfor %}",
                "{% set ns = namespace(t=[1]) %}" + manyTimes + "{% set ns.t = ns.t + ns.t %}{% endfor %}",
                "{% set ns = namespace(t=[1]) %}" + manyTimes + "{% set ns.t = [ns.t, ns.t] %}{% endfor %}{{ ns.t }}",
                "{% set ns = namespace(t=[1]) %}" + manyTimes
                        + "{% set ns.t = [ns.t, ns.t] %}{% endfor %}{{ ns.t|tojson }}",
                "{% set ns = namespace(t=[1]) %}" + manyTimes + "{% set ns.t = [ns.t] %}{% endfor %}{{ ns.t == ns.t }}",
                "{% set ns = namespace(t=[1]) %}" + manyTimes + "{% set ns.t = (ns.t, ns.t) %}{% endfor %}{{ ns.t }}",
                "{% set ns = namespace(t=1) %}{% for a in range(60) %}{% set ns.t = (ns.t, ns.t) %}{% endfor %}{{ {ns.t: 1} }}",
                "{% set ns = namespace(t=[1]) %}{% for a in range(60) %}{% set ns.t = [ns.t, ns.t] %}{% endfor %}{{ ns.t|list == ns.t + [] }}{{ ns.t }}",
                "{{ 'x' * 999999999 }}",
                "{{ 'x' * 10000000 * 10000000 }}",
                "{{ ['x'] * 999999999 }}",
                "{{ 'x'.center(2000000000) }}",
                "{{ ('x' * 1000000).replace('x', 'y' * 1000000) }}",
                "{{ ('x' * 1000000).replace('', 'y' * 1000000) }}",
                "{{ ('y' * 100000).join(['a'] * 100000) }}",
                "{{ ['a'] * 100000 | join('y' * 100000) }}",
                "{{ '%999999999d' % 1 }}",
                "{{ '{:999999999}'.format(1) }}",
                "{{ 2 ** 999999999 }}",
                "{{ range(999999999999) }}",
                "{{ ('a\\n' * 1000000)|indent(1000) }}",
                "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
                "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}",
                "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}",
                "{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}",
                "{{ " + "(".repeat(100_000) + "1" + ")".repeat(100_000) + " }}",
                "{{ " + "[".repeat(100_000) + "]".repeat(100_000) + " }}",
                "{{ " + "not ".repeat(100_000) + "1 }}",
                "{{ " + "-".repeat(100_000) + "1 }}",
                "{{ 1" + " + 1".repeat(100_000) + " }}",
                "{{ x" + ".x".repeat(100_000) + " }}",
                "{{ x" + "|upper".repeat(100_000) + " }}",
                "{{ 1" + " if 1 else 1".repeat(100_000) + " }}",
                "{% if 1 %}".repeat(100_000),
                "{% for a in b %}".repeat(100_000),
                "{% if 0 %}" + "{% elif 0 %}".repeat(100_000) + "{% endif %}",
                "{% set " + "(".repeat(100_000) + "a");
    }

    /** jinja2 takes powers from the left, so this one is large and no more; {@link #hostile} has those that are too large. */
    @Test
    void takesPowersFromTheLeft() {
        assertEquals(
                "196627050475552913618075908526912116283103450944214766927315415537966391196809",
                Template.parse("{{ 9 ** 9 ** 9 }}").render(Map.of(), NOW));
    }

    @ParameterizedTest
    @MethodSource
    void hostile(String source) {
        TemplateException failure = assertThrows(
                TemplateException.class, () -> Template.parse(source).render(Map.of(), NOW));
        assertTrue(failure.getMessage().startsWith("template line 1: "), failure.getMessage());
        assertTrue(failure.getMessage().length() < 300, failure.getMessage());
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "{{ s.getClass() }}",
                "{{ s.class.name }}",
                "{{ s.__class__.x }}",
                "{{ ''.bytes }}{{ ''.bytes() }}",
                "{{ range.body.call() }}",
                "{{ java.lang.System.exit(1) }}"
            })
    void reachesNothingOfJava(String source) {
        assertThrows(TemplateException.class, () -> Template.parse(source).render(Map.of("s", "x"), NOW));
    }

    @Test
    void tellsTheLineOfAnError() {
        TemplateException failure = assertThrows(
                TemplateException.class,
                () -> Template.parse("a\n{% set b = 1 %}\n{{ b.c.d }}\n").render(Map.of(), NOW));
        assertEquals("template line 3: an integer has no attribute 'c'", failure.getMessage());
    }

    @Test
    void refusesInputThatIsNoPlainData() {
        assertThrows(TemplateException.class, () -> Template.parse("x").render(Map.of("a", new Object()), NOW));
        List<Object> endless = new ArrayList<>();
        endless.add(endless);
        assertThrows(TemplateException.class, () -> Template.parse("x").render(Map.of("a", endless), NOW));
    }
}

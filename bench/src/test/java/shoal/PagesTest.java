package shoal;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import javax.xml.parsers.DocumentBuilderFactory;
import org.junit.jupiter.api.Test;
import org.w3c.dom.Element;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** The pages say what is: dependencies, keys of the profile, options, and links are those that there are. */
class PagesTest {
    private static final Path ROOT = HouseTest.repository();

    @Test
    void everythingPinnedInTheRootPomIsExplained() throws Exception {
        var pom = DocumentBuilderFactory.newInstance()
                .newDocumentBuilder()
                .parse(ROOT.resolve("pom.xml").toFile());
        var pinned = new TreeSet<String>();
        var artifacts = pom.getElementsByTagName("artifactId");
        for (int i = 0; i < artifacts.getLength(); i++) {
            String name = artifacts.item(i).getTextContent();
            if (!name.startsWith("shoal")) {
                pinned.add(name);
            }
        }
        var properties = ((Element) pom.getElementsByTagName("properties").item(0)).getChildNodes();
        for (int i = 0; i < properties.getLength(); i++) {
            String name = properties.item(i).getNodeName();
            if (name.endsWith(".version")) {
                pinned.add(name);
            }
        }
        assertTrue(pinned.size() > 30, pinned.toString());
        String page = page("docs/DEPENDENCIES.md");
        pinned.removeIf(name -> page.contains("`" + name + "`"));
        assertEquals(List.of(), List.copyOf(pinned), "not on docs/DEPENDENCIES.md");
    }

    /** Rows are {@code | `key` | allowed | default | meaning |}. */
    @Test
    void everyKeyOfTheProfileIsOnItsPageWithItsDefault() throws IOException {
        var keys = new TreeMap<String, JsonNode>();
        collect("", JsonMapper.shared().readTree(page("config/schema.json")), keys);
        var rows = new TreeMap<String, String[]>();
        for (String line : page("docs/CONFIG.md").lines().toList()) {
            if (line.startsWith("| `") && !line.startsWith("| `--")) {
                String[] cells = line.split("\\|");
                rows.put(cells[1].strip().replace("`", ""), cells);
            }
        }
        keys.remove("$schema");
        assertEquals(keys.keySet(), rows.keySet(), "keys of config/schema.json, and rows of docs/CONFIG.md");
        for (Map.Entry<String, JsonNode> key : keys.entrySet()) {
            String[] cells = rows.get(key.getKey());
            JsonNode is = key.getValue();
            if (is.has("default")) {
                assertEquals(is.get("default").toString(), cells[3].strip().replace("`", ""), key.getKey());
            }
            for (String bound : List.of("minimum", "maximum")) {
                if (is.has(bound)) {
                    assertTrue(
                            cells[2].contains(is.get(bound).asString()),
                            key.getKey() + " says nothing of its " + bound);
                }
            }
            for (JsonNode value : is.path("enum")) {
                assertTrue(cells[2].contains(value.asString()), key.getKey() + " does not name " + value);
            }
        }
    }

    @Test
    void linksLeadSomewhere() throws IOException {
        var dead = new ArrayList<String>();
        for (Path page : pages()) {
            for (MatchResult link : matches("\\]\\(([^)#:]+)(#[^)]*)?\\)", Files.readString(page))) {
                if (!Files.exists(page.resolveSibling(link.group(1)))) {
                    dead.add(ROOT.relativize(page) + ": " + link.group(1));
                }
            }
        }
        assertEquals(List.of(), dead);
    }

    @Test
    void optionsAndCommandsOfThePagesExist() throws IOException {
        var sources = new StringBuilder(page("shoal"));
        for (String folder :
                List.of("verticles/src/main/java/shoal/verticles/cli", "bench/src/main/java/shoal/bench")) {
            try (Stream<Path> files = Files.walk(ROOT.resolve(folder))) {
                for (Path file : files.filter(Files::isRegularFile).toList()) {
                    sources.append(Files.readString(file));
                }
            }
        }
        String known = sources + " --version --help";
        var unknown = new TreeSet<String>();
        for (Path page : pages()) {
            String text = Files.readString(page);
            for (MatchResult line : matches("(?m)^.*(\\./shoal |java -jar shoal\\.jar ).*$", text)) {
                for (MatchResult option : matches("(?<![\\w-])--[a-z][a-z-]+", line.group())) {
                    if (!known.contains(option.group())) {
                        unknown.add(option.group());
                    }
                }
                for (MatchResult command : matches("(?:\\./shoal|shoal\\.jar) ([a-z]+)", line.group())) {
                    if (!known.contains("name = \"" + command.group(1) + "\"")
                            && !page("shoal").contains("  " + command.group(1) + ")")) {
                        unknown.add(command.group(1));
                    }
                }
            }
        }
        assertEquals(List.of(), List.copyOf(unknown), "named on a page, unknown to the command line");
    }

    private static void collect(String path, JsonNode schema, Map<String, JsonNode> keys) {
        schema.path("properties").properties().forEach(entry -> {
            String key = path.isEmpty() ? entry.getKey() : path + "." + entry.getKey();
            if (entry.getValue().has("properties")) {
                collect(key, entry.getValue(), keys);
            } else {
                keys.put(key, entry.getValue());
            }
        });
    }

    private static List<MatchResult> matches(String pattern, String text) {
        return Pattern.compile(pattern).matcher(text).results().toList();
    }

    private static String page(String name) throws IOException {
        return Files.readString(ROOT.resolve(name));
    }

    private static List<Path> pages() throws IOException {
        try (Stream<Path> docs = Files.walk(ROOT.resolve("docs"));
                Stream<Path> top = Files.list(ROOT)) {
            List<Path> pages = Stream.concat(docs, top)
                    .filter(file -> file.toString().endsWith(".md"))
                    .sorted()
                    .toList();
            assertTrue(pages.size() > 8, pages.toString());
            return pages;
        }
    }
}

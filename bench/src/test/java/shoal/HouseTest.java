package shoal;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.tngtech.archunit.core.domain.Dependency;
import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.Function;
import java.util.function.Predicate;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import shoal.codec.dht.TrespasserManager;

/**
 * The walls of the house: which package may use which, and who alone may use a library. A new package, or a new arrow between
 * packages, begins with a line here. docs/ARCHITECTURE.md says why the walls stand where they do.
 */
class HouseTest {
    private static final List<String> MODULES = List.of("codec", "native-bridge", "verticles", "bench");

    /** Package (without {@code shoal.}) → packages it may use beside its own. */
    private static final Map<String, Set<String>> ARROWS = new TreeMap<>();

    private static final Set<String> VERTICLES = Set.of(
            "verticles.dht",
            "verticles.pieceserver",
            "verticles.piecefetcher",
            "verticles.shardloader",
            "verticles.inferencestage",
            "verticles.command",
            "verticles.guard",
            "verticles.fileserver",
            "verticles.push",
            "verticles.coordinator",
            "verticles.api");

    static {
        may("codec.base");
        may("codec.sim", "codec.base");
        may("codec.metainfo", "codec.base");
        may("codec.gguf", "codec.base", "codec.metainfo");
        may("codec.wire", "codec.base", "codec.metainfo");
        may("codec.dht", "codec.base", "codec.wire");
        may("codec.swarm", "codec.base", "codec.metainfo", "codec.wire");
        may("codec.swarm.world", "codec.swarm");
        may("codec.pipeline", "codec.base", "codec.wire");
        may("codec.command", "codec.base", "codec.metainfo", "codec.wire");

        may("bridge.kernel", "codec.base", "codec.gguf");
        may("bridge.hash", "bridge.library", "codec.base", "codec.metainfo");
        may("bridge.kernel.host", "bridge.kernel", "codec.base", "codec.gguf");
        may("bridge.kernel.scalar", "bridge.kernel", "bridge.kernel.host", "codec.base", "codec.gguf");
        may(
                "bridge.kernel.vector",
                "bridge.kernel",
                "bridge.kernel.host",
                "bridge.kernel.scalar",
                "codec.base",
                "codec.gguf");
        may("bridge.kernel.device", "bridge.kernel", "codec.base", "codec.gguf");
        may("bridge.kernel.cuda", "bridge.kernel", "bridge.kernel.device", "codec.base", "codec.gguf");
        may("bridge.kernel.opencl", "bridge.kernel", "bridge.kernel.device", "codec.base", "codec.gguf");
        may("bridge.library");
        may(
                "bridge.kernel.ffm",
                "bridge.library",
                "bridge.kernel",
                "bridge.kernel.host",
                "bridge.kernel.scalar",
                "bridge.kernel.vector",
                "codec.gguf");
        may("bridge.model", "bridge.kernel", "bridge.kernel.scalar", "bridge.library", "codec.base", "codec.gguf");
        may("bridge.model.arch", "bridge.model", "bridge.kernel", "codec.base", "codec.gguf");
        may("bridge.model.text", "bridge.model.text.jinja", "codec.base", "codec.gguf");
        may("bridge.model.text.jinja");
        may("bridge.model.text.grammar", "bridge.model.text", "codec.base");
        may("bridge.model.sampling", "bridge.kernel", "bridge.model.text", "bridge.model.text.grammar", "codec.wire");
        may(
                "bridge.generate",
                "bridge.model",
                "bridge.model.arch",
                "bridge.model.text",
                "bridge.model.sampling",
                "bridge.kernel",
                "codec.base",
                "codec.gguf",
                "codec.wire");

        may("bridge.make", "bridge.library", "bridge.kernel.scalar", "bridge.model", "codec.base", "codec.gguf");

        // The shared rooms, each after those it may use.
        may("verticles.config", "codec.base", "codec.wire");
        may("verticles.identity", "codec.base", "codec.wire");
        may(
                "verticles.store",
                "bridge.hash",
                "bridge.library",
                "bridge.model",
                "codec.base",
                "codec.gguf",
                "codec.metainfo",
                "codec.swarm");
        may("verticles.bus", "verticles.identity", "codec.base", "codec.command", "codec.metainfo", "codec.wire");
        may("verticles.driver", "codec.base");
        may("verticles.path", "codec.base");
        may("verticles.quic", "verticles.identity", "codec.base", "codec.wire");

        // The verticles: shared rooms, logic, and never one another.
        for (String verticle : VERTICLES) {
            may(
                    verticle,
                    "verticles.config",
                    "verticles.store",
                    "verticles.bus",
                    "verticles.driver",
                    "verticles.quic",
                    "codec.base",
                    "codec.wire");
        }
        may("verticles.dht", "verticles.identity", "codec.dht");
        may("verticles.pieceserver", "codec.swarm", "codec.metainfo");
        may("verticles.piecefetcher", "codec.gguf", "codec.swarm", "codec.metainfo");
        may("verticles.shardloader", "codec.command", "codec.dht", "codec.gguf", "codec.metainfo", "bridge.model");
        may(
                "verticles.inferencestage",
                "codec.command",
                "codec.gguf",
                "codec.pipeline",
                "bridge.kernel",
                "bridge.model",
                "bridge.model.arch",
                "bridge.model.text",
                "bridge.model.sampling");
        may("verticles.command", "codec.command", "codec.metainfo");
        may("verticles.guard", "codec.command");
        may("verticles.fileserver", "codec.metainfo");
        may("verticles.push", "codec.metainfo", "codec.swarm");
        may(
                "verticles.coordinator",
                "bridge.model.text.jinja",
                "codec.command",
                "codec.dht",
                "codec.gguf",
                "codec.metainfo",
                "codec.pipeline",
                "bridge.generate",
                "bridge.model",
                "bridge.model.arch",
                "bridge.model.sampling",
                "bridge.model.text",
                "bridge.model.text.grammar");

        may("verticles.api", "bridge.model.text.grammar", "codec.dht");

        // What puts processes together.
        may("verticles.launcher", VERTICLES.toArray(String[]::new));
        may(
                "verticles.launcher",
                "verticles.config",
                "verticles.identity",
                "verticles.store",
                "verticles.bus",
                "verticles.quic",
                "codec.base",
                "codec.metainfo",
                "codec.wire");
        may("verticles.launcher", "bridge.hash");
        may(
                "verticles.client",
                "verticles.identity",
                "verticles.quic",
                "codec.base",
                "codec.dht",
                "codec.metainfo",
                "codec.wire");
        may("verticles.demo", "verticles.client", "codec.base", "codec.wire");
        // The command line also fetches and seeds without a cluster, and its doctor measures as a node would.
        may("verticles.cli", "verticles.piecefetcher", "verticles.pieceserver", "verticles.inferencestage");
        may("verticles.cli", "verticles.fileserver", "verticles.push");
        may(
                "verticles.cli",
                "verticles.launcher",
                "verticles.demo",
                "verticles.client",
                "verticles.config",
                "verticles.identity",
                "verticles.store",
                "verticles.bus",
                "verticles.quic",
                "codec.base",
                "codec.gguf",
                "codec.metainfo",
                "codec.wire",
                "bridge.generate",
                "bridge.hash",
                "bridge.library",
                "bridge.kernel",
                "bridge.make",
                "bridge.model",
                "bridge.model.arch",
                "bridge.model.text",
                "bridge.model.text.jinja",
                "bridge.model.text.grammar",
                "bridge.model.sampling",
                "codec.dht",
                "codec.gguf",
                "codec.pipeline");

        // Benches measure the whole: the list of them, then each kind.
        may(
                "bench",
                "bench.gpu",
                "bench.micro",
                "bench.race",
                "bench.report",
                "bench.scale",
                "bench.serving",
                "verticles.cli");
        may("bench.report");
        may("bench.scale", "bench.report", "codec.swarm.world");
        may("bench.serving", "bench.race", "bench.report", "bridge.make", "verticles.cli");
        may("bench.micro", "bench.report", "bridge.hash", "bridge.kernel", "codec.gguf", "codec.metainfo");
        may(
                "bench.gpu",
                "bench.report",
                "bridge.kernel",
                "bridge.kernel.device",
                "bridge.kernel.host",
                "bridge.kernel.scalar",
                "bridge.make",
                "bridge.model",
                "bridge.model.arch",
                "codec.base",
                "codec.gguf");
        may(
                "bench.race",
                "bench.report",
                "verticles.cli",
                "bridge.kernel",
                "bridge.make",
                "bridge.model",
                "bridge.model.arch",
                "codec.base",
                "codec.gguf");
        may("bench.race", "bridge.hash", "codec.wire", "verticles.bus", "verticles.config", "verticles.identity");
        may("bench.race", "verticles.piecefetcher", "verticles.quic", "verticles.store");
    }

    private static JavaClasses house;

    private static void may(String from, String... to) {
        ARROWS.computeIfAbsent(from, _ -> new TreeSet<>()).addAll(List.of(to));
    }

    /** @param violations of the classes given, one line each; empty if the rule holds */
    private record Rule(String name, Function<JavaClasses, List<String>> violations) {
        @Override
        public String toString() {
            return name;
        }
    }

    static List<Rule> rules() {
        return List.of(
                new Rule("packages use only those that they may", HouseTest::crossings),
                new Rule(
                        "a name says what a class is for",
                        classes -> classes.stream()
                                .filter(each ->
                                        each.getSimpleName().matches(".*(Utils?|Helper|(?<!Trust)Manager|Impl)"))
                                .map(JavaClass::getName)
                                .toList()),
                alone("Bouncy Castle", under("org.bouncycastle"), "verticles.identity"),
                alone("Netty", under("io.netty"), "verticles.quic"),
                alone(
                        "Vert.x QUIC and its inner classes",
                        name -> name.startsWith("io.vertx.core.net.Quic")
                                || name.matches("io\\.vertx\\..*\\.(impl|internal)\\..*"),
                        "verticles.quic"),
                alone("Hazelcast", under("com.hazelcast").or(under("io.vertx.spi.cluster")), "verticles.bus"),
                alone("the Vector API", under("jdk.incubator.vector"), "bridge.kernel.vector", "bridge.hash"),
                alone("Vert.x Web", under("io.vertx.ext.web"), "verticles.api"),
                alone("Micrometer", under("io.micrometer"), "verticles.api"),
                alone("picocli", under("picocli"), "verticles.cli", "bench"),
                alone("JLine", under("org.jline"), "verticles.cli"),
                alone("Logback", under("ch.qos.logback"), "verticles.cli"),
                alone("the schema validator", under("com.networknt"), "verticles.config"),
                alone("Jackson", under("tools.jackson"), "codec.command", "verticles", "bench"),
                alone("Vert.x", under("io.vertx"), "verticles", "bench"),
                alone("a logger", under("org.slf4j"), "verticles", "bench"),
                alone("JMH", under("org.openjdk.jmh"), "bench"),
                codecNever(
                        "threads",
                        under("java.util.concurrent")
                                .or(
                                        Set.of("java.lang.Thread", "java.util.Timer", "java.lang.ProcessBuilder")
                                                ::contains)),
                codecNever(
                        "files",
                        under("java.nio.file")
                                .or(under("java.nio.channels"))
                                .or(name -> name.matches("java\\.io\\.(.*File.*|Reader|Writer|PrintStream|Console)"))),
                codecNever(
                        "sockets",
                        name -> name.startsWith("java.net.")
                                && !Set.of("java.net.URI", "java.net.URLEncoder", "java.net.URLDecoder")
                                        .contains(name)),
                codecNever(
                        "libraries",
                        name -> !name.matches("(java|shoal|org\\.jspecify|tools\\.jackson)\\..*")
                                && name.contains(".")),
                codecNever("loggers", name -> name.startsWith("java.util.logging") || name.contains("System$Logger")),
                new Rule(
                        "codec asks no clock and no chance of its own",
                        classes -> calls(
                                classes,
                                call -> call.matches("java\\.lang\\.System\\.(nanoTime|currentTimeMillis|getenv|exit)")
                                        || call.matches("java\\.time\\.[A-Za-z]+\\.(now|system.*)")
                                        || call.matches("java\\.lang\\.Math\\.random|java\\.util\\.UUID\\.randomUUID")
                                        || call.matches("java\\.util\\.Random\\.<init>")
                                        || call.matches("java\\.security\\.SecureRandom\\..*")
                                        || call.matches("java\\.util\\.random\\.RandomGenerator\\.(of|getDefault)"))));
    }

    @BeforeAll
    static void readClasses() {
        List<Path> roots = MODULES.stream()
                .map(module -> repository().resolve(module).resolve("target/classes"))
                .toList();
        for (Path root : roots) {
            assertTrue(Files.isDirectory(root), root + " is missing: build all modules first");
        }
        house = new ClassFileImporter().importPaths(roots);
        assertTrue(house.size() > 300, "only " + house.size() + " classes were read");
    }

    @ParameterizedTest
    @MethodSource("rules")
    void holds(Rule rule) {
        List<String> violations = rule.violations().apply(house);
        assertTrue(violations.isEmpty(), () -> rule + ":\n" + String.join("\n", violations));
    }

    /** One class that breaks every rule: a rule that lets it pass would let anything pass. */
    @ParameterizedTest
    @MethodSource("rules")
    void canBeBroken(Rule rule) {
        JavaClasses trespasser = new ClassFileImporter().importClasses(TrespasserManager.class);
        assertFalse(rule.violations().apply(trespasser).isEmpty(), rule + " does not see " + TrespasserManager.class);
    }

    @Test
    void everyPackageHasItsLine() {
        Set<String> found = house.stream()
                .map(JavaClass::getPackageName)
                .filter(name -> !name.endsWith("jmh_generated"))
                .map(HouseTest::room)
                .collect(Collectors.toCollection(TreeSet::new));
        assertEquals(found, ARROWS.keySet(), "packages that there are, and those with a line in this test");
    }

    @Test
    void everyPackageSaysItsJobAndIsNullMarked() throws IOException {
        var wrong = new ArrayList<String>();
        for (String module : MODULES) {
            Path root = repository().resolve(module).resolve("src/main/java");
            try (Stream<Path> files = Files.walk(root)) {
                Set<Path> packages = files.filter(file -> file.toString().endsWith(".java"))
                        .map(Path::getParent)
                        .collect(Collectors.toCollection(TreeSet::new));
                for (Path each : packages) {
                    Path info = each.resolve("package-info.java");
                    String text = Files.exists(info) ? Files.readString(info) : "";
                    if (!text.startsWith("/**") || !text.contains("@NullMarked")) {
                        wrong.add(root.relativize(each) + " has no package-info.java with a sentence and @NullMarked");
                    }
                }
            }
        }
        assertEquals(List.of(), wrong);
    }

    // ------------------------------------------------------------------------------------------ how rules read classes

    static Path repository() {
        return Path.of(System.getProperty("shoal.repository", ".")).toAbsolutePath();
    }

    private static String room(String packageName) {
        return packageName.replaceFirst("^shoal\\.", "");
    }

    private static String targetOf(Dependency dependency) {
        return dependency.getTargetClass().getBaseComponentType().getName();
    }

    private static Stream<Dependency> uses(JavaClasses classes) {
        return classes.stream()
                .filter(each -> !each.getPackageName().endsWith("jmh_generated"))
                .flatMap(each -> each.getDirectDependenciesFromSelf().stream());
    }

    private static List<String> crossings(JavaClasses classes) {
        return uses(classes)
                .filter(use -> targetOf(use).startsWith("shoal."))
                .filter(use -> {
                    String from = room(use.getOriginClass().getPackageName());
                    String to = room(use.getTargetClass().getBaseComponentType().getPackageName());
                    return !from.equals(to)
                            && !ARROWS.getOrDefault(from, Set.of()).contains(to);
                })
                .map(Dependency::getDescription)
                .sorted()
                .toList();
    }

    private static Predicate<String> under(String packageName) {
        return name -> name.startsWith(packageName + ".");
    }

    /** @param rooms packages; what lies below them is meant too */
    private static Rule alone(String what, Predicate<String> library, String... rooms) {
        return new Rule(
                what + " is used in " + String.join(", ", rooms) + " alone",
                classes -> uses(classes)
                        .filter(use -> library.test(targetOf(use)))
                        .filter(use -> Stream.of(rooms).noneMatch(room -> {
                            String from = room(use.getOriginClass().getPackageName());
                            return from.equals(room) || from.startsWith(room + ".");
                        }))
                        .map(Dependency::getDescription)
                        .sorted()
                        .toList());
    }

    private static Rule codecNever(String what, Predicate<String> forbidden) {
        return new Rule(
                "codec has no " + what,
                classes -> uses(classes)
                        .filter(use -> use.getOriginClass().getPackageName().startsWith("shoal.codec."))
                        .filter(use -> forbidden.test(targetOf(use)))
                        .map(Dependency::getDescription)
                        .sorted()
                        .toList());
    }

    private static List<String> calls(JavaClasses classes, Predicate<String> forbidden) {
        return classes.stream()
                .filter(each -> each.getPackageName().startsWith("shoal.codec."))
                .flatMap(each -> each.getCodeUnitAccessesFromSelf().stream())
                .filter(call -> forbidden.test(
                        call.getTargetOwner().getName() + "." + call.getTarget().getName()))
                .map(Object::toString)
                .sorted()
                .toList();
    }
}

package shoal.verticles.config;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import shoal.codec.base.Endpoint;

class ProfileReaderTest {
    @TempDir
    Path directory;

    @ParameterizedTest
    @ValueSource(strings = {"rendezvous", "node", "coordinator"})
    void theSamplesAreRight(String role) {
        Path samples = Path.of(System.getProperty("shoal.repository", "..")).resolve("config");
        Profile profile =
                new ProfileReader().file(samples.resolve(role + ".json")).read();
        assertEquals(role, profile.role());
        assertTrue(profile.cluster().isLoopback());
    }

    @Test
    void whatIsThereByDefaultKeepsToTheSchema() {
        Profile checked = new ProfileReader().set("torrent.stallSeconds=120").read();
        assertEquals(checked, new ProfileReader().read());
        assertEquals(
                Path.of("a b"),
                new ProfileReader()
                        .storeDirectory(Path.of("a b"))
                        .read()
                        .store()
                        .directoryPath());
    }

    @Test
    void everyKindOfValueFindsItsPlace() {
        Profile profile = new ProfileReader()
                .set("store.quotaBytes=5000000000")
                .set("store.seedDirectory=s")
                .set("store.lookIn=a,b")
                .set("shard.id=null")
                .set("upload.httpPort=0")
                .set("torrent.autoLoad=false")
                .read();
        assertEquals(5_000_000_000L, profile.store().quotaBytes());
        assertEquals("s", profile.store().seedDirectory());
        assertNull(profile.store().shardsDirectory());
        assertEquals(List.of("a", "b"), profile.store().lookIn());
        assertNull(profile.shard().id());
        assertEquals(0, profile.upload().httpPort());
        assertFalse(profile.torrent().autoLoad());
    }

    @Test
    void theCommandLineWinsOverTheFile() throws IOException {
        Path file =
                Files.writeString(directory.resolve("p.json"), "{\"quic\":{\"port\":7},\"cluster\":{\"name\":\"a\"}}");
        Profile profile = new ProfileReader()
                .file(file)
                .set("quic.port=8")
                .set("cluster.name=42")
                .set("bootstrap=127.0.0.1:1,/ip4/127.0.0.1/tcp/51820")
                .set("shard.id=3")
                .set("torrent.enabled=true")
                .read();
        assertEquals(8, profile.quic().port());
        assertEquals("42", profile.cluster().name());
        assertEquals(3, profile.shard().id());
        assertEquals(
                List.of(new Endpoint("127.0.0.1", 1), new Endpoint("127.0.0.1", 51820)), profile.bootstrapEndpoints());
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "{\"quic\":{\"port\":70000}} | quic.port is 70000, allowed is a whole number 0..65535.",
                "{\"quic\":{\"prot\":1}} | quic.prot is no key of a profile; known here are host, port, advertise.",
                "{\"qiuc\":1} | qiuc is no key of a profile; known here are role, quic, bootstrap,",
                "{\"log\":{\"level\":\"loud\"}} | log.level is \"loud\", allowed is one of error, warn, info, debug, trace.",
                "{\"bootstrap\":\"x\"} | bootstrap is \"x\", allowed is an array.",
                "{\"upload\":{\"bytesPerSecond\":-1}} | upload.bytesPerSecond is -1, allowed is a whole number 0..",
                "[] | is no JSON object.",
                "{ | is no JSON at line 1",
            })
    void aWrongProfileNamesFileAndKey(String json, String message) throws IOException {
        Path file = Files.writeString(directory.resolve("p.json"), json);
        var failure = assertThrows(
                ProfileException.class, () -> new ProfileReader().file(file).read());
        assertTrue(failure.getMessage().startsWith(file.toString()), failure.getMessage());
        assertTrue(failure.getMessage().contains(message), failure.getMessage());
        assertEquals(1, failure.getMessage().lines().count());
    }

    @Test
    void aWrongOptionNamesTheOption() {
        var failure = assertThrows(
                ProfileException.class,
                () -> new ProfileReader().set("quic.port=abc").read());
        assertEquals(
                "--set quic.port: quic.port is \"abc\", allowed is a whole number 0..65535.", failure.getMessage());
        var unknown = assertThrows(
                ProfileException.class,
                () -> new ProfileReader().set("quic.prt=1").read());
        assertTrue(unknown.getMessage().startsWith("--set quic.prt: quic.prt is no key"), unknown.getMessage());
    }
}

package shoal.verticles.identity;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.cert.CertificateFactory;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import shoal.codec.base.Contact;
import shoal.codec.base.Endpoint;
import shoal.codec.base.Hash256;
import shoal.codec.wire.ProviderRecord;

class IdentityTest {
    @TempDir
    Path directory;

    @Test
    void isTheSameAfterARestartAndForItsOwnerOnly() throws IOException {
        Path file = directory.resolve("sub/identity.pem");
        Identity made = Identity.loadOrCreate(file);
        assertEquals("rw-------", PosixFilePermissions.toString(Files.getPosixFilePermissions(file)));
        assertEquals(made.nodeId(), Identity.loadOrCreate(file).nodeId());
        assertEquals(1, Files.list(file.getParent()).count(), "no temporary file is left");
    }

    @Test
    void aFileThatOthersMayReadIsRefused() throws IOException {
        Path file = directory.resolve("identity.pem");
        Identity.loadOrCreate(file);
        Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rw-r--r--"));
        assertTrue(assertThrows(IOException.class, () -> Identity.loadOrCreate(file))
                .getMessage()
                .contains("chmod 600"));
    }

    @Test
    void aBrokenFileIsNotOverwritten() throws IOException {
        Path file = directory.resolve("identity.pem");
        Files.writeString(file, "no key");
        Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rw-------"));
        assertThrows(IOException.class, () -> Identity.loadOrCreate(file));
        assertEquals("no key", Files.readString(file));
    }

    @Test
    void signsRecordsThatAreAuthentic() {
        Identity identity = Identity.create();
        var contact = new Contact(identity.nodeId(), List.of(new Endpoint("127.0.0.1", 1)));
        assertTrue(identity.sign(new ProviderRecord(Hash256.ZERO, contact, new byte[0], 1, 2))
                .isAuthentic());
    }

    @Test
    void theBusCertificateIsTheSameOnEveryMachineAndValid() throws Exception {
        ClusterSecret one = ClusterSecret.of("a secret of some length".getBytes());
        ClusterSecret again = ClusterSecret.of("a secret of some length".getBytes());
        assertEquals(one.busCredentials(), again.busCredentials());
        var certificate = CertificateFactory.getInstance("X.509")
                .generateCertificate(new ByteArrayInputStream(
                        one.busCredentials().certificatePem().getBytes()));
        certificate.verify(certificate.getPublicKey());
        ClusterSecret other = ClusterSecret.of("another secret of length".getBytes());
        assertNotEquals(one.busCredentials(), other.busCredentials());
    }

    @Test
    void aProofHoldsForItsDirectionOnly() {
        ClusterSecret secret = ClusterSecret.of("a secret of some length".getBytes());
        var a = Identity.create().nodeId();
        var b = Identity.create().nodeId();
        assertTrue(secret.isProof(secret.proof(a, b), a, b));
        assertFalse(secret.isProof(secret.proof(a, b), b, a));
    }
}

package shoal.verticles.identity;

import java.io.IOException;
import java.io.StringReader;
import java.io.StringWriter;
import java.math.BigInteger;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.GeneralSecurityException;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.PrivateKey;
import java.security.SecureRandom;
import java.security.Signature;
import java.security.cert.X509Certificate;
import java.security.spec.ECGenParameterSpec;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.Date;
import java.util.Set;
import org.bouncycastle.asn1.pkcs.PrivateKeyInfo;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.cert.jcajce.JcaX509CertificateConverter;
import org.bouncycastle.cert.jcajce.JcaX509v3CertificateBuilder;
import org.bouncycastle.openssl.PEMParser;
import org.bouncycastle.openssl.jcajce.JcaPEMKeyConverter;
import org.bouncycastle.openssl.jcajce.JcaPEMWriter;
import org.bouncycastle.openssl.jcajce.JcaPKCS8Generator;
import org.bouncycastle.operator.OperatorCreationException;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;
import shoal.codec.base.NodeId;
import shoal.codec.wire.ProviderRecord;
import shoal.codec.wire.SignedRecord;

/**
 * A P-256 key pair and its self-signed certificate. (Ed25519 certificates fail in the QUIC library's handshake.) Kept as PEM in
 * one file that only its owner may read; lost with it is the node's id, nothing else.
 */
public final class Identity {
    private static final Set<PosixFilePermission> OWNER_ONLY = PosixFilePermissions.fromString("rw-------");

    private final PrivateKey privateKey;
    private final X509Certificate certificate;
    private final NodeId nodeId;

    private Identity(PrivateKey privateKey, X509Certificate certificate) {
        this.privateKey = privateKey;
        this.certificate = certificate;
        this.nodeId = NodeId.ofPublicKey(certificate.getPublicKey().getEncoded());
    }

    /** A new identity that is kept nowhere. */
    public static Identity create() {
        try {
            var generator = KeyPairGenerator.getInstance("EC");
            generator.initialize(new ECGenParameterSpec("secp256r1"));
            KeyPair keys = generator.generateKeyPair();
            Instant now = Instant.now();
            var name = new X500Name("CN=shoal");
            var builder = new JcaX509v3CertificateBuilder(
                    name,
                    new BigInteger(64, new SecureRandom()).add(BigInteger.ONE),
                    Date.from(now.minus(1, ChronoUnit.DAYS)),
                    Date.from(now.plus(36_500, ChronoUnit.DAYS)),
                    name,
                    keys.getPublic());
            var holder = builder.build(new JcaContentSignerBuilder("SHA256withECDSA").build(keys.getPrivate()));
            return new Identity(keys.getPrivate(), new JcaX509CertificateConverter().getCertificate(holder));
        } catch (GeneralSecurityException | OperatorCreationException failure) {
            throw new IllegalStateException("this JDK makes no P-256 certificate", failure);
        }
    }

    /**
     * Reads the identity that the file holds, or makes one and keeps it there. Two processes that start at once on one file end
     * with the same identity.
     *
     * @throws IOException with cause and remedy if the file can't be read or written, or others may read it
     */
    public static Identity loadOrCreate(Path file) throws IOException {
        if (!Files.exists(file)) {
            Identity made = create();
            Path parent = file.toAbsolutePath().getParent();
            if (parent != null) {
                Files.createDirectories(parent);
            }
            try {
                made.write(file);
                return made;
            } catch (FileAlreadyExistsException somebodyWasFaster) {
                return read(file);
            }
        }
        return read(file);
    }

    private static Identity read(Path file) throws IOException {
        if (supportsPosix(file)
                && Files.getPosixFilePermissions(file).stream()
                        .anyMatch(permission -> !OWNER_ONLY.contains(permission))) {
            throw new IOException(file + " may be read by others. Run: chmod 600 " + file);
        }
        PrivateKey key = null;
        X509Certificate certificate = null;
        try (var parser = new PEMParser(new StringReader(Files.readString(file)))) {
            for (Object part = parser.readObject(); part != null; part = parser.readObject()) {
                if (part instanceof PrivateKeyInfo info) {
                    key = new JcaPEMKeyConverter().getPrivateKey(info);
                } else if (part instanceof X509CertificateHolder holder) {
                    certificate = new JcaX509CertificateConverter().getCertificate(holder);
                }
            }
        } catch (GeneralSecurityException | IllegalArgumentException broken) {
            throw new IOException(
                    file + " is no identity: " + broken.getMessage() + ". Remove it to get a new one.", broken);
        }
        if (key == null || certificate == null) {
            throw new IOException(file + " holds no key and certificate. Remove it to get a new identity.");
        }
        return new Identity(key, certificate);
    }

    private void write(Path file) throws IOException {
        Path temporary = Files.createTempFile(file.toAbsolutePath().getParent(), "identity", ".tmp");
        try {
            if (supportsPosix(temporary)) {
                Files.setPosixFilePermissions(temporary, OWNER_ONLY);
            }
            Files.writeString(temporary, keyPem() + certificatePem(), StandardOpenOption.TRUNCATE_EXISTING);
            Files.createLink(file, temporary);
        } finally {
            Files.deleteIfExists(temporary);
        }
    }

    private static boolean supportsPosix(Path file) {
        return file.getFileSystem().supportedFileAttributeViews().contains("posix");
    }

    public NodeId nodeId() {
        return nodeId;
    }

    /** Self-signed, with the public key that {@link #nodeId} is made of. */
    public X509Certificate certificate() {
        return certificate;
    }

    public PrivateKey privateKey() {
        return privateKey;
    }

    /** The certificate as PEM. */
    public String certificatePem() {
        return Pem.write(certificate);
    }

    /** The private key as PKCS #8 PEM. */
    public String keyPem() {
        try {
            return Pem.write(new JcaPKCS8Generator(privateKey, null));
        } catch (org.bouncycastle.util.io.pem.PemGenerationException failure) {
            throw new IllegalStateException(failure);
        }
    }

    /** Signs a record of this node (SHA-256, ECDSA). */
    public SignedRecord sign(ProviderRecord record) {
        try {
            var signer = Signature.getInstance("SHA256withECDSA");
            signer.initSign(privateKey);
            signer.update(record.toBytes());
            return new SignedRecord(record, certificate.getPublicKey().getEncoded(), signer.sign());
        } catch (GeneralSecurityException failure) {
            throw new IllegalStateException("the key does not sign", failure);
        }
    }

    /** PEM text. */
    static final class Pem {
        private Pem() {}

        static String write(Object part) {
            var text = new StringWriter();
            try (var writer = new JcaPEMWriter(text)) {
                writer.writeObject(part);
            } catch (IOException impossible) {
                throw new IllegalStateException(impossible);
            }
            return text.toString();
        }
    }
}

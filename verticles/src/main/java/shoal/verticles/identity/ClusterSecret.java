package shoal.verticles.identity;

import java.io.IOException;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.MessageDigest;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.security.cert.X509Certificate;
import java.security.spec.ECPrivateKeySpec;
import java.security.spec.ECPublicKeySpec;
import java.time.Instant;
import java.util.Date;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;
import org.bouncycastle.asn1.ASN1Encodable;
import org.bouncycastle.asn1.ASN1Integer;
import org.bouncycastle.asn1.DERSequence;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.asn1.x509.BasicConstraints;
import org.bouncycastle.asn1.x509.Extension;
import org.bouncycastle.asn1.x509.SubjectPublicKeyInfo;
import org.bouncycastle.cert.X509v3CertificateBuilder;
import org.bouncycastle.cert.jcajce.JcaX509CertificateConverter;
import org.bouncycastle.crypto.digests.SHA256Digest;
import org.bouncycastle.crypto.params.ECDomainParameters;
import org.bouncycastle.crypto.params.ECPrivateKeyParameters;
import org.bouncycastle.crypto.signers.ECDSASigner;
import org.bouncycastle.crypto.signers.HMacDSAKCalculator;
import org.bouncycastle.jce.ECNamedCurveTable;
import org.bouncycastle.jce.spec.ECNamedCurveParameterSpec;
import org.bouncycastle.jce.spec.ECNamedCurveSpec;
import org.bouncycastle.openssl.jcajce.JcaPKCS8Generator;
import org.bouncycastle.operator.ContentSigner;
import shoal.codec.base.Hash256;
import shoal.codec.base.NodeId;

/**
 * What all machines of a cluster share when it is reachable from elsewhere. From it come the proof in hello and welcome, the
 * token that Hazelcast checks when a member joins, and one key and certificate for the event bus's TLS: the same bytes on every
 * machine, since the signature is deterministic (RFC 6979).
 */
public final class ClusterSecret {
    public static final int MIN_BYTES = 16;
    public static final int MAX_BYTES = 4096;

    private static final String CURVE = "secp256r1";
    private static final Instant VALID_FROM = Instant.parse("2026-01-01T00:00:00Z");
    private static final Instant VALID_UNTIL = Instant.parse("2126-01-01T00:00:00Z");

    private final byte[] secret;

    private ClusterSecret(byte[] secret) {
        this.secret = secret;
    }

    /** @throws IllegalArgumentException if the secret is too short to be one */
    public static ClusterSecret of(byte[] secret) {
        if (secret.length < MIN_BYTES || secret.length > MAX_BYTES) {
            throw new IllegalArgumentException("a cluster secret has " + MIN_BYTES + ".." + MAX_BYTES + " bytes, found "
                    + secret.length + ". Make one with: head -c 32 /dev/urandom | base64 > FILE");
        }
        return new ClusterSecret(secret.clone());
    }

    /** Reads the secret; white space around it does not count. @throws IOException with cause and remedy */
    public static ClusterSecret read(Path file) throws IOException {
        if (!Files.isReadable(file)) {
            throw new IOException(
                    "cluster.secretFile " + file + " cannot be read. Copy it from a machine of the cluster.");
        }
        if (Files.size(file) > MAX_BYTES) {
            throw new IOException("cluster.secretFile " + file + " has more than " + MAX_BYTES + " bytes.");
        }
        try {
            return of(
                    Files.readString(file, StandardCharsets.ISO_8859_1).strip().getBytes(StandardCharsets.ISO_8859_1));
        } catch (IllegalArgumentException tooShort) {
            throw new IOException("cluster.secretFile " + file + ": " + tooShort.getMessage(), tooShort);
        }
    }

    /** What only a holder of the secret can say on a connection between these two, in this direction. */
    public Hash256 proof(NodeId from, NodeId to) {
        return derive("shoal hello", from.hash().toBytes(), to.hash().toBytes());
    }

    /** Whether the proof is right; takes the same time wherever it is wrong. */
    public boolean isProof(Hash256 proof, NodeId from, NodeId to) {
        return MessageDigest.isEqual(proof.toBytes(), proof(from, to).toBytes());
    }

    /** The token that a Hazelcast member shows when it joins. */
    public String joinToken(String clusterName) {
        return derive("shoal join", clusterName.getBytes(StandardCharsets.UTF_8))
                .toHex();
    }

    /** Key and certificate of the event bus as PEM, the same on every machine that has the secret. */
    public BusCredentials busCredentials() {
        try {
            ECNamedCurveParameterSpec curve = ECNamedCurveTable.getParameterSpec(CURVE);
            BigInteger scalar = new BigInteger(1, derive("shoal bus key").toBytes())
                    .mod(curve.getN().subtract(BigInteger.ONE))
                    .add(BigInteger.ONE);
            var point = curve.getG().multiply(scalar).normalize();
            var parameters = new ECNamedCurveSpec(CURVE, curve.getCurve(), curve.getG(), curve.getN());
            KeyFactory factory = KeyFactory.getInstance("EC");
            PrivateKey privateKey = factory.generatePrivate(new ECPrivateKeySpec(scalar, parameters));
            PublicKey publicKey = factory.generatePublic(new ECPublicKeySpec(
                    new java.security.spec.ECPoint(
                            point.getAffineXCoord().toBigInteger(),
                            point.getAffineYCoord().toBigInteger()),
                    parameters));
            var name = new X500Name("CN=shoal bus");
            var builder = new X509v3CertificateBuilder(
                    name,
                    BigInteger.ONE,
                    Date.from(VALID_FROM),
                    Date.from(VALID_UNTIL),
                    name,
                    SubjectPublicKeyInfo.getInstance(publicKey.getEncoded()));
            builder.addExtension(Extension.basicConstraints, true, new BasicConstraints(true));
            X509Certificate certificate = new JcaX509CertificateConverter()
                    .getCertificate(builder.build(new DeterministicSigner(scalar, curve)));
            return new BusCredentials(
                    Identity.Pem.write(new JcaPKCS8Generator(privateKey, null)), Identity.Pem.write(certificate));
        } catch (GeneralSecurityException | IOException failure) {
            throw new IllegalStateException("this JDK makes no P-256 key", failure);
        }
    }

    private Hash256 derive(String label, byte[]... parts) {
        try {
            Mac mac = Mac.getInstance("HmacSHA256");
            mac.init(new SecretKeySpec(secret, "HmacSHA256"));
            mac.update(label.getBytes(StandardCharsets.UTF_8));
            mac.update((byte) 0);
            for (byte[] part : parts) {
                mac.update(part);
            }
            return Hash256.of(mac.doFinal());
        } catch (GeneralSecurityException missing) {
            throw new IllegalStateException("this JDK has no HMAC-SHA256", missing);
        }
    }

    /** PEM texts. */
    public record BusCredentials(String keyPem, String certificatePem) {}

    /** ECDSA whose nonce comes from key and message (RFC 6979). */
    private static final class DeterministicSigner implements ContentSigner {
        private final java.io.ByteArrayOutputStream content = new java.io.ByteArrayOutputStream();
        private final ECPrivateKeyParameters key;

        DeterministicSigner(BigInteger scalar, ECNamedCurveParameterSpec curve) {
            key = new ECPrivateKeyParameters(
                    scalar, new ECDomainParameters(curve.getCurve(), curve.getG(), curve.getN(), curve.getH()));
        }

        @Override
        public org.bouncycastle.asn1.x509.AlgorithmIdentifier getAlgorithmIdentifier() {
            return new org.bouncycastle.asn1.x509.AlgorithmIdentifier(
                    org.bouncycastle.asn1.x9.X9ObjectIdentifiers.ecdsa_with_SHA256);
        }

        @Override
        public java.io.OutputStream getOutputStream() {
            return content;
        }

        @Override
        public byte[] getSignature() {
            var signer = new ECDSASigner(new HMacDSAKCalculator(new SHA256Digest()));
            signer.init(true, key);
            BigInteger[] pair = signer.generateSignature(
                    Hash256.sha256(content.toByteArray()).toBytes());
            try {
                return new DERSequence(new ASN1Encodable[] {new ASN1Integer(pair[0]), new ASN1Integer(pair[1])})
                        .getEncoded();
            } catch (IOException impossible) {
                throw new IllegalStateException(impossible);
            }
        }
    }
}

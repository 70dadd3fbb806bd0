package shoal.codec.wire;

import static shoal.codec.base.Bounds.requireRange;

import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.Signature;
import java.security.spec.X509EncodedKeySpec;
import java.util.Arrays;
import shoal.codec.base.NodeId;

/**
 * A {@link ProviderRecord} with its provider's public key (SubjectPublicKeyInfo, P-256) and ECDSA signature (SHA-256, DER)
 * over {@link ProviderRecord#toBytes}.
 */
public record SignedRecord(ProviderRecord record, byte[] publicKey, byte[] signature) {
    public static final int MAX_RECORD_BYTES = 4096;
    public static final int MAX_KEY_BYTES = 256;
    public static final int MAX_SIGNATURE_BYTES = 128;

    public SignedRecord {
        requireRange("public key size", publicKey.length, 1, MAX_KEY_BYTES);
        requireRange("signature size", signature.length, 1, MAX_SIGNATURE_BYTES);
        publicKey = publicKey.clone();
        signature = signature.clone();
    }

    @Override
    public byte[] publicKey() {
        return publicKey.clone();
    }

    @Override
    public byte[] signature() {
        return signature.clone();
    }

    /** Whether the key is the provider's and signed just these bytes. Says nothing about time. */
    public boolean isAuthentic() {
        if (!NodeId.ofPublicKey(publicKey).equals(record.provider().id())) {
            return false;
        }
        try {
            var verifier = Signature.getInstance("SHA256withECDSA");
            verifier.initVerify(KeyFactory.getInstance("EC").generatePublic(new X509EncodedKeySpec(publicKey)));
            verifier.update(record.toBytes());
            return verifier.verify(signature);
        } catch (GeneralSecurityException notAKeyOrSignature) {
            return false;
        }
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof SignedRecord signed
                && record.equals(signed.record)
                && Arrays.equals(publicKey, signed.publicKey)
                && Arrays.equals(signature, signed.signature);
    }

    @Override
    public int hashCode() {
        return Arrays.hashCode(signature);
    }
}

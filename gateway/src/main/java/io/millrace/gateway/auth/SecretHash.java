package io.millrace.gateway.auth;

import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.security.SecureRandom;
import java.util.HexFormat;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/**
 * HMAC-SHA-256 of a secret under a salt of its own. Secrets are 256 random bits, so that no slow hash is needed against guessing.
 *
 * @param salt as hex
 * @param hash as hex
 */
public record SecretHash(String salt, String hash) {

    private static final int SALT_BYTES = 16;
    private static final int HASH_BYTES = 32;
    private static final HexFormat HEX = HexFormat.of();

    /** Throws IllegalArgumentException for what is no hex of these lengths. */
    public SecretHash {
        if (HEX.parseHex(salt).length != SALT_BYTES || HEX.parseHex(hash).length != HASH_BYTES) {
            throw new IllegalArgumentException("salt must be 16 bytes as hex, hash 32");
        }
    }

    static SecretHash of(String secret, SecureRandom random) {
        byte[] salt = new byte[SALT_BYTES];
        random.nextBytes(salt);
        return new SecretHash(HEX.formatHex(salt), HEX.formatHex(hmac(salt, secret)));
    }

    /** Whether that is the secret; takes the same time whatever it is. */
    boolean matches(String secret) {
        return MessageDigest.isEqual(hmac(HEX.parseHex(salt), secret), HEX.parseHex(hash));
    }

    private static byte[] hmac(byte[] salt, String secret) {
        try {
            Mac mac = Mac.getInstance("HmacSHA256");
            mac.init(new SecretKeySpec(salt, "HmacSHA256"));
            return mac.doFinal(secret.getBytes(StandardCharsets.UTF_8));
        } catch (GeneralSecurityException e) {
            throw new IllegalStateException("every Java platform has HmacSHA256", e);
        }
    }

    /** Says nothing of what is in it. */
    @Override
    public String toString() {
        return "SecretHash";
    }
}

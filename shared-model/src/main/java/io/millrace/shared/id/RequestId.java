package io.millrace.shared.id;

import java.security.SecureRandom;
import java.util.HexFormat;

/**
 * Id of a request: four hex digits of its partition, then 32 of randomness (or of an HMAC, for idempotency keys).
 *
 * <p>API ids put a prefix before it: {@code chatcmpl-}, {@code cmpl-}, {@code resp_}.
 *
 * @param partition partition number in {@code requests}, {@code responses} and {@code results}; 0..65535
 * @param text all 36 digits
 */
public record RequestId(int partition, String text) {

    private static final SecureRandom RANDOM = new SecureRandom();
    private static final int LENGTH = 36;

    /** A new random id in that partition. */
    public static RequestId random(int partition) {
        byte[] bits = new byte[16];
        RANDOM.nextBytes(bits);
        return of(partition, bits);
    }

    /** The id of these 128 bits in that partition. */
    public static RequestId of(int partition, byte[] bits) {
        if (partition < 0 || partition > 0xffff || bits.length != 16) {
            throw new IllegalArgumentException("partition 0..65535 and 16 bytes wanted");
        }
        return new RequestId(
                partition, "%04x".formatted(partition) + HexFormat.of().formatHex(bits));
    }

    /** Parses the 36 digits, after cutting a known API prefix; throws IllegalArgumentException for anything else. */
    public static RequestId parse(String id) {
        int cut = Math.max(id.lastIndexOf('-'), id.lastIndexOf('_'));
        String digits = id.substring(cut + 1);
        if (digits.length() != LENGTH
                || !digits.chars().allMatch(c -> Character.digit(c, 16) >= 0 && c < 'g' && !(c >= 'A' && c <= 'F'))) {
            throw new IllegalArgumentException("not a request id: " + id);
        }
        return new RequestId(Integer.parseInt(digits.substring(0, 4), 16), digits);
    }

    @Override
    public String toString() {
        return text;
    }
}

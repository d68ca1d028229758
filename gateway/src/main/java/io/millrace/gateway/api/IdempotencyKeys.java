package io.millrace.gateway.api;

import com.google.protobuf.ByteString;
import com.google.protobuf.CodedOutputStream;
import com.google.protobuf.MessageLite;
import io.millrace.gateway.stream.ApiError;
import io.millrace.gateway.stream.ApiException;
import io.millrace.shared.id.RequestId;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.DigestOutputStream;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.util.Arrays;
import java.util.HexFormat;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/** {@code Idempotency-Key}: the same key of the same tenant is the same request, whichever gateway gets it. */
final class IdempotencyKeys {

    static final String HEADER = "Idempotency-Key";
    private static final int LENGTH_MAX = 255;
    private static final int ID_BYTES = 16;

    private IdempotencyKeys() {}

    /** The draft under that key; throws 400 for one that is none. */
    static Draft keyed(Draft draft, String tenant, String key) {
        if (key.isEmpty() || key.length() > LENGTH_MAX || !key.chars().allMatch(c -> c > 0x20 && c < 0x7f)) {
            throw new ApiException(ApiError.invalid(
                    HEADER,
                    "'Idempotency-Key' must be 1 to %d printable ASCII characters without blanks; a UUID is best."
                            .formatted(LENGTH_MAX)));
        }
        return of(draft, tenant, key);
    }

    /** The draft under a key that may be none of a client's. */
    static Draft of(Draft draft, String tenant, String key) {
        var submit = draft.submit().toBuilder()
                .setIdempotencyKey(HexFormat.of().formatHex(hmac(tenant, key)))
                .setBodyHash(bodyHash(draft))
                .build();
        return new Draft(draft.model(), submit, draft.prompts(), draft.seeded());
    }

    /** The partition of a request of that (hashed) key. */
    static int partition(String hash, int partitions) {
        return Math.floorMod(ByteBuffer.wrap(HexFormat.of().parseHex(hash)).getInt(ID_BYTES), partitions);
    }

    /** The id of a request of that (hashed) key. */
    static RequestId id(String hash, int partition) {
        return RequestId.of(partition, Arrays.copyOf(HexFormat.of().parseHex(hash), ID_BYTES));
    }

    private static byte[] hmac(String tenant, String key) {
        try {
            Mac mac = Mac.getInstance("HmacSHA256");
            mac.init(new SecretKeySpec(("tenant:" + tenant).getBytes(StandardCharsets.UTF_8), "HmacSHA256"));
            return mac.doFinal(key.getBytes(StandardCharsets.UTF_8));
        } catch (GeneralSecurityException e) {
            throw new IllegalStateException("every Java platform has HmacSHA256", e);
        }
    }

    /** What the body asks for, whatever the order of its fields, its white space, and what this server does not read. */
    private static ByteString bodyHash(Draft draft) {
        try {
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            var out = new DigestOutputStream(OutputStream.nullOutputStream(), digest);
            digest.update(draft.model().getBytes(StandardCharsets.UTF_8));
            digest.update((byte) 0);
            write(draft.submit(), out);
            for (Draft.Prompt prompt : draft.prompts()) {
                write(prompt.input(), out);
            }
            return ByteString.copyFrom(digest.digest());
        } catch (GeneralSecurityException | IOException e) {
            throw new IllegalStateException("hashing a body failed", e);
        }
    }

    private static void write(MessageLite message, OutputStream out) throws IOException {
        CodedOutputStream coded = CodedOutputStream.newInstance(out);
        coded.useDeterministicSerialization();
        coded.writeUInt32NoTag(message.getSerializedSize());
        message.writeTo(coded);
        coded.flush();
    }
}

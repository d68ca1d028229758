package io.millrace.gateway.stream;

import io.millrace.shared.id.RequestId;
import io.millrace.shared.output.ToolFormat;
import io.millrace.shared.proto.ChatInput;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;

/** Ids of calls: derived, so that every gateway names them alike. */
final class CallIds {

    private static final int DIGITS = 24;
    /** Mistral's templates refuse any other length. */
    private static final int MISTRAL_DIGITS = 9;

    private CallIds() {}

    static String of(RequestId request, ChatInput chat, int choice, int index) {
        String name = request.text() + "/call/" + choice + "/" + index;
        try {
            byte[] hash = MessageDigest.getInstance("SHA-256").digest(name.getBytes(StandardCharsets.UTF_8));
            String digits = HexFormat.of().formatHex(hash);
            boolean mistral = ToolFormat.of(chat.getToolUse().getFormat()).isMistral();
            return mistral ? digits.substring(0, MISTRAL_DIGITS) : "call_" + digits.substring(0, DIGITS);
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java platform has SHA-256", e);
        }
    }
}

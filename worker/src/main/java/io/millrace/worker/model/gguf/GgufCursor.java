package io.millrace.worker.model.gguf;

import io.millrace.shared.error.MillraceException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;

/** Reads little-endian values one after the other and never beyond the end; nothing is allocated before its bytes are known to exist. */
final class GgufCursor {

    private static final ValueLayout.OfShort SHORT =
            ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    private static final char REPLACEMENT = '\uFFFD';

    private final Path path;
    private final MemorySegment bytes;
    private long position;

    GgufCursor(Path path, MemorySegment bytes) {
        this.path = path;
        this.bytes = bytes;
    }

    long position() {
        return position;
    }

    long remaining() {
        return bytes.byteSize() - position;
    }

    byte i8(String what) {
        return bytes.get(ValueLayout.JAVA_BYTE, take(1, what));
    }

    short i16(String what) {
        return bytes.get(SHORT, take(2, what));
    }

    int i32(String what) {
        return bytes.get(INT, take(4, what));
    }

    long i64(String what) {
        return bytes.get(LONG, take(8, what));
    }

    /** A length or count of things of at least {@code bytesEach} bytes; refused when the file cannot hold so many. */
    int count(long bytesEach, String what) {
        long n = i64(what);
        if (n < 0 || n > remaining() / bytesEach || n > Integer.MAX_VALUE - 16) {
            throw damaged(what + " is " + Long.toUnsignedString(n) + ", but only " + remaining()
                    + " bytes of the file are left");
        }
        return (int) n;
    }

    String string(String what) {
        int length = count(1, "the length of " + what);
        long at = take(length, what);
        byte[] raw = new byte[length];
        MemorySegment.copy(bytes, ValueLayout.JAVA_BYTE, at, raw, 0, length);
        // Whatever is not UTF-8 becomes this character, so a text without it was.
        String text = new String(raw, StandardCharsets.UTF_8);
        return text.indexOf(REPLACEMENT) < 0 ? text : strict(raw, what);
    }

    private String strict(byte[] raw, String what) {
        try {
            return StandardCharsets.UTF_8
                    .newDecoder()
                    .onMalformedInput(CodingErrorAction.REPORT)
                    .onUnmappableCharacter(CodingErrorAction.REPORT)
                    .decode(ByteBuffer.wrap(raw))
                    .toString();
        } catch (CharacterCodingException e) {
            throw damaged(what + " is not valid UTF-8");
        }
    }

    MillraceException damaged(String what) {
        return new MillraceException(
                "MR-GGUF-002",
                path + " is not a sound GGUF file: " + what + " (at byte " + position + " of " + bytes.byteSize()
                        + "). Download or convert it again.");
    }

    private long take(long size, String what) {
        if (size > remaining()) {
            throw damaged(
                    "it ends inside " + what + ", which needs " + size + " bytes where " + remaining() + " are left");
        }
        long at = position;
        position += size;
        return at;
    }
}

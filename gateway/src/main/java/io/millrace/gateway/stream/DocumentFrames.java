package io.millrace.gateway.stream;

import java.nio.charset.StandardCharsets;
import org.jspecify.annotations.Nullable;

/** An answer in one piece: the only event is the document. */
public final class DocumentFrames implements Frames<byte[]> {

    private String document = "";

    @Override
    public void event(long offset, @Nullable String type, CharSequence json) {
        document = json.toString();
    }

    @Override
    public void heartbeat() {}

    @Override
    public int size() {
        return document.length();
    }

    @Override
    public byte[] take() {
        byte[] bytes = document.getBytes(StandardCharsets.UTF_8);
        document = "";
        return bytes;
    }
}

package io.millrace.gateway.stream;

/** What the chunks of chat and text completions have around their choices: head, usage, the last events. */
final class ChunkFrame {

    private static final String DONE = "[DONE]";

    private final Call call;
    private final Progress progress;
    private final String object;

    /** @param object name of a chunk's kind */
    ChunkFrame(Call call, Progress progress, String object) {
        this.call = call;
        this.progress = progress;
        this.object = object;
    }

    /** A chunk as far as into its choices. */
    JsonText head() {
        return progress.head(object).name("choices").array();
    }

    /** Sends a chunk whose choices are ended. */
    void send(JsonText json, Frames<?> out, long offset) {
        if (call.shape().getContinuousUsage()) {
            json.name("usage").raw(progress.usage());
        } else if (call.shape().getIncludeUsage()) {
            json.nothing("usage");
        }
        out.event(offset, null, json.endObject().toString());
    }

    /** After an END: once it was the last one, sends the usage, if asked for, and the end of the stream. */
    void ended(Frames<?> out, long offset) {
        if (progress.complete()) {
            if (call.shape().getIncludeUsage()) {
                JsonText last = head().endArray().name("usage").raw(progress.usage());
                out.event(offset, null, last.endObject().toString());
            }
            out.event(offset, null, DONE);
        }
    }

    static void fail(ApiError error, Frames<?> out, long offset) {
        out.event(offset, null, error.json());
        out.event(offset, null, DONE);
    }
}

package io.millrace.gateway.stream;

import io.millrace.shared.proto.ResponseShape;

/**
 * Turns accepted journal records into the events of one call, record by record: the events of a record depend on it and
 * those before it, never on when or in which batches they were read. So every gateway renders the same bytes. Not
 * thread-safe.
 */
public sealed interface Renderer
        permits ChatChunks,
                ChatDocument,
                CompletionChunks,
                CompletionDocument,
                MessageEvents,
                MessageDocument,
                ResponseEvents,
                ResponseDocument,
                PooledDocument,
                TokenizationDocument {

    /** Adds the events of the next accepted record; REJECT, REFUSE, FAIL and CANCEL go to {@link #fail}. */
    void accept(Accepted accepted, Frames<?> out);

    /** Ends the call with that error, in the form that the stream has for it. */
    void fail(ApiError error, long offset, Frames<?> out);

    /** Adds the answer as it stands before its end; nothing where its form has none for that. */
    default void now(Frames<?> out) {}

    /** Usage and progress so far. */
    Progress progress();

    /** The renderer of that call, as its shape says. */
    static Renderer of(Call call) {
        ResponseShape shape = call.shape();
        return switch (shape.getApi()) {
            case CHAT_COMPLETIONS, UNRECOGNIZED -> shape.getStream() ? new ChatChunks(call) : new ChatDocument(call);
            case COMPLETIONS -> shape.getStream() ? new CompletionChunks(call) : new CompletionDocument(call);
            case RESPONSES ->
                shape.getStream()
                        ? new ResponseEvents(call)
                        : new ResponseDocument(call, call.first().getBackground());
            case EMBEDDINGS, RERANK, SCORE -> new PooledDocument(call);
            case TOKENIZE, DETOKENIZE, COUNT_TOKENS -> new TokenizationDocument(call);
            case MESSAGES -> shape.getStream() ? new MessageEvents(call) : new MessageDocument(call);
        };
    }

    /** The renderer of a response as whoever asks for it by its id sees it: in one piece, and whatever became of it. */
    static Renderer retrieved(Call call) {
        return new ResponseDocument(call, true);
    }
}

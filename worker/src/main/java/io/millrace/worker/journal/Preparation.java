package io.millrace.worker.journal;

import com.google.protobuf.ByteString;
import io.millrace.worker.engine.GenerationRequest;
import io.millrace.worker.engine.PoolingRequest;
import java.util.List;

/** What became of a request's validation. */
public sealed interface Preparation {

    /** The engine may run it. */
    record Ready(GenerationRequest request) implements Preparation {}

    /** The engine may pool it. */
    record Pooled(PoolingRequest request) implements Preparation {}

    /**
     * It is answered already, without the engine.
     *
     * @param ids that the answer is about: every worker of the model comes to the same
     * @param kind of the OUTPUT
     * @param parts of the OUTPUT, at least one
     */
    record Answered(int[] ids, String kind, List<ByteString> parts) implements Preparation {}

    /**
     * It is refused, everywhere and for ever.
     *
     * @param status HTTP status, 4xx
     * @param code OpenAI's error code, such as {@code context_length_exceeded}
     * @param param the request's field that is wrong, or empty
     */
    record Refused(int status, String code, String message, String param) implements Preparation {}
}

package io.millrace.gateway.batch;

import io.millrace.shared.proto.BatchError;
import io.millrace.shared.proto.BatchInfo;
import reactor.core.publisher.Mono;

/** Reads and runs the requests that the lines of a batch are. Thread-safe. */
public interface BatchLines {

    /**
     * A line as far as a batch is judged by it.
     *
     * @param error what makes the whole batch fail; its code is empty when nothing does
     */
    record Head(String customId, String model, BatchError error) {}

    /**
     * What became of a line.
     *
     * @param status HTTP's
     * @param code of the error; empty for an answer
     * @param requestId empty: none was made
     * @param body JSON
     */
    record Answer(int status, String code, String requestId, String body) {}

    Head head(String line, String endpoint);

    /**
     * Runs the line's request with the lowest priority. The same (batch, number, attempt) is run once, however often it is asked
     * for and by however many gateways, and gives the same bytes.
     */
    Mono<Answer> run(BatchInfo batch, int number, int attempt, String line);
}

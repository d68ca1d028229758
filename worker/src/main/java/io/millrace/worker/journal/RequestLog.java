package io.millrace.worker.journal;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.slf4j.spi.LoggingEventBuilder;

/** One line in the log for each attempt that is over: counts and times, and never a text of the request. */
final class RequestLog {

    private static final Logger LOG = LoggerFactory.getLogger("io.millrace.requests.worker");

    record Attempt(
            String request,
            String traceId,
            String model,
            String worker,
            int number,
            int promptTokens,
            int cachedTokens,
            int outputTokens) {}

    /** Of one clock, nanoseconds; 0: it did not come to that. */
    record Times(long received, long scheduled, long first, long over) {}

    private RequestLog() {}

    static void attempt(String outcome, String cause, Attempt attempt, Times times) {
        if (!LOG.isInfoEnabled()) {
            return;
        }
        LoggingEventBuilder line = LOG.atInfo()
                .addKeyValue("outcome", outcome)
                .addKeyValue("cause", cause)
                .addKeyValue("request", attempt.request())
                .addKeyValue("trace_id", attempt.traceId())
                .addKeyValue("model", attempt.model())
                .addKeyValue("worker", attempt.worker())
                .addKeyValue("attempt", attempt.number())
                .addKeyValue("prompt_tokens", attempt.promptTokens())
                .addKeyValue("cached_tokens", attempt.cachedTokens())
                .addKeyValue("output_tokens", attempt.outputTokens());
        if (times.scheduled() != 0) {
            line = line.addKeyValue("queue_ms", ms(times.received(), times.scheduled()));
        }
        if (times.first() != 0) {
            line = line.addKeyValue("prefill_ms", ms(times.scheduled(), times.first()))
                    .addKeyValue("decode_ms", ms(times.first(), times.over()));
        }
        line.addKeyValue("total_ms", ms(times.received(), times.over())).log("attempt");
    }

    private static long ms(long from, long to) {
        return (to - from) / 1_000_000;
    }
}

package io.millrace.gateway.edge;

import io.millrace.gateway.limits.Rates;
import java.time.Duration;
import java.time.Instant;
import java.util.HexFormat;
import java.util.List;
import java.util.concurrent.ThreadLocalRandom;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import org.springframework.http.HttpHeaders;
import org.springframework.http.server.reactive.ServerHttpRequest;

/** Headers that clients read beside the body: the request's id, what is left of limits, how long it took. */
final class AnswerHeaders {

    static final String REQUEST_ID = "x-request-id";

    private static final String REQUESTS = "x-ratelimit-%s-requests";
    private static final String TOKENS = "x-ratelimit-%s-tokens";
    private static final String ANTHROPIC = "anthropic-ratelimit-%s-%s";
    private static final String ANTHROPIC_ID = "request-id";
    private static final String PROCESSING = "openai-processing-ms";
    private static final String VERSION = "openai-version";
    private static final String VERSION_VALUE = "2020-10-01";

    /** All of them, for pages of other origins. */
    static final List<String> NAMES = List.of(
            REQUEST_ID,
            ANTHROPIC_ID,
            PROCESSING,
            VERSION,
            "x-ratelimit-limit-requests",
            "x-ratelimit-remaining-requests",
            "x-ratelimit-reset-requests",
            "x-ratelimit-limit-tokens",
            "x-ratelimit-remaining-tokens",
            "x-ratelimit-reset-tokens",
            "Retry-After",
            "retry-after-ms");

    /** Ids that clients may give: what could break a log line or a header is none. */
    private static final Pattern ID = Pattern.compile("[A-Za-z0-9._:/+=@-]{1,128}");

    private AnswerHeaders() {}

    /** The id that the client gave; null when it gave none, or one that is too long or holds other characters. */
    static @Nullable String given(ServerHttpRequest request) {
        String id = request.getHeaders().getFirst(REQUEST_ID);
        return id != null && ID.matcher(id).matches() ? id : null;
    }

    /** The client's id, else that of the call that answers, else a new one. */
    static void id(HttpHeaders answer, @Nullable String given, Dialect dialect) {
        String id = given != null ? given : answer.getFirst(REQUEST_ID);
        if (id == null) {
            byte[] bits = new byte[16];
            ThreadLocalRandom.current().nextBytes(bits);
            id = "req_" + HexFormat.of().formatHex(bits);
        }
        answer.set(REQUEST_ID, id);
        if (dialect == Dialect.ANTHROPIC) {
            answer.set(ANTHROPIC_ID, id);
        }
    }

    static void time(HttpHeaders answer, long tookNanos, Dialect dialect) {
        if (dialect == Dialect.OPENAI) {
            answer.set(PROCESSING, Long.toString(tookNanos / 1_000_000));
            answer.set(VERSION, VERSION_VALUE);
        }
    }

    static void rates(HttpHeaders answer, Rates rates, Dialect dialect, Instant now) {
        rate(answer, rates.requests(), REQUESTS, "requests", dialect, now);
        rate(answer, rates.tokens(), TOKENS, "tokens", dialect, now);
    }

    private static void rate(
            HttpHeaders answer, Rates.@Nullable Rate rate, String form, String kind, Dialect dialect, Instant now) {
        if (rate == null) {
            return;
        }
        String limit = Integer.toString(rate.limit());
        String remaining = Long.toString(rate.remaining());
        if (dialect == Dialect.ANTHROPIC) {
            answer.set(ANTHROPIC.formatted(kind, "limit"), limit);
            answer.set(ANTHROPIC.formatted(kind, "remaining"), remaining);
            answer.set(
                    ANTHROPIC.formatted(kind, "reset"),
                    Instant.ofEpochSecond(now.plusMillis(rate.resetMs() + 999).getEpochSecond())
                            .toString());
        } else {
            answer.set(form.formatted("limit"), limit);
            answer.set(form.formatted("remaining"), remaining);
            answer.set(form.formatted("reset"), span(rate.resetMs()));
        }
    }

    /** As OpenAI writes it: {@code 6m0s}, {@code 1.5s}, {@code 20ms}. */
    static String span(long ms) {
        Duration span = Duration.ofMillis(ms);
        if (ms < 1000) {
            return ms + "ms";
        }
        String seconds = ms % 1000 == 0
                ? span.toSecondsPart() + "s"
                : "%d.%03ds".formatted(span.toSecondsPart(), span.toMillisPart());
        return span.toMinutes() > 0 ? span.toMinutes() + "m" + seconds : seconds;
    }
}

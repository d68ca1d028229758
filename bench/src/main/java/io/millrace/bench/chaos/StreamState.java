package io.millrace.bench.chaos;

import java.util.Arrays;
import java.util.UUID;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** What a client has of one stream so far. Written by its reader; read by whoever wants to know how it stands. */
final class StreamState {

    private static final JsonMapper JSON = new JsonMapper();

    private final Ask ask;
    private final String key = UUID.randomUUID().toString();
    private final StringBuilder text = new StringBuilder();
    private String finish = "";
    private int usage = -1;
    private String lastEvent = "";
    private int connections;
    private long[] events = new long[64];
    private int count;
    private boolean over;
    private @Nullable String error;
    private volatile String id = "";
    private volatile @Nullable ChaosNode gateway;
    private volatile long progressNanos;

    StreamState(Ask ask) {
        this.ask = ask;
        mark();
    }

    Ask ask() {
        return ask;
    }

    String key() {
        return key;
    }

    String id() {
        return id;
    }

    /** The same as the log has it: without the prefix of its kind. */
    String requestId() {
        return requestId(id);
    }

    static String requestId(String answer) {
        return answer.substring(answer.indexOf('-') + 1);
    }

    String lastEvent() {
        return lastEvent;
    }

    boolean canResume() {
        return !id.isEmpty() && !lastEvent.isEmpty();
    }

    boolean isOver() {
        return over;
    }

    /** The gateway that it is, or was last, connected to. */
    @Nullable
    ChaosNode lastGateway() {
        return gateway;
    }

    /** When its last text came; 0 before the first. */
    long progressNanos() {
        return progressNanos;
    }

    void connecting(ChaosNode to) {
        gateway = to;
        connections++;
    }

    /** A whole event. */
    void event(String place, String data) {
        if (over) {
            return;
        }
        if (data.equals("[DONE]")) {
            end();
            return;
        }
        JsonNode event = JSON.readTree(data);
        if (event.has("error")) {
            fail("in the stream: " + event.get("error"));
            return;
        }
        id = event.path("id").asString(id);
        if (!place.isEmpty()) {
            lastEvent = place;
        }
        usage = event.path("usage").path("completion_tokens").asInt(usage);
        JsonNode choice = event.path("choices").path(0);
        String more = choice.path("text").asString("");
        finish = choice.path("finish_reason").asString(finish);
        if (!more.isEmpty()) {
            text.append(more);
            mark();
            progressNanos = System.nanoTime();
        }
    }

    void fail(String why) {
        error = why;
        end();
    }

    private void end() {
        over = true;
    }

    private void mark() {
        events = count == events.length ? Arrays.copyOf(events, 2 * count) : events;
        events[count++] = System.nanoTime();
    }

    /** As it stands, for good. */
    StreamResult result() {
        if (!over) {
            error = "not whole in time";
        }
        mark();
        return new StreamResult(
                ask, id, text.toString(), finish, usage, error, connections, Arrays.copyOf(events, count));
    }
}

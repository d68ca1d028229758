package io.millrace.standalone.system;

import static org.assertj.core.api.Assertions.assertThat;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.read.ListAppender;
import java.net.http.HttpResponse;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;
import org.slf4j.LoggerFactory;
import org.slf4j.event.KeyValuePair;
import tools.jackson.databind.json.JsonMapper;

/** The log has one line for each request, also for those that come back to an answer. */
@ExtendWith(SharedSystem.class)
@Timeout(60)
class RequestLinesTest {

    private static final JsonMapper JSON = new JsonMapper();
    private static final String TRACE = "4bf92f3577b34da6a3ce929d0e0e47";
    private static final String SECRET = "nobody may read this";

    private final Logger logger = (Logger) LoggerFactory.getLogger("io.millrace.requests.gateway");
    private final ListAppender<ILoggingEvent> lines = new ListAppender<>();
    private Level before;

    /** Once the system runs: what it starts with sets logging up anew. */
    @BeforeEach
    void listen(SystemUnderTest system) {
        before = logger.getLevel();
        logger.setLevel(Level.INFO);
        lines.start();
        logger.addAppender(lines);
    }

    @AfterEach
    void stop() {
        logger.detachAppender(lines);
        logger.setLevel(before);
        lines.stop();
    }

    private static String[] traced(int number) {
        return new String[] {"traceparent", "00-" + trace(number) + "-00f067aa0ba902b7-01"};
    }

    private static String trace(int number) {
        return TRACE + "%02d".formatted(number);
    }

    /** The line of that call, as names and values; waits for it, since it may be written after the answer's last byte. */
    private Map<String, String> line(int number) throws InterruptedException {
        Processes.await("a line of call " + number, () -> !linesOf(number).isEmpty());
        List<Map<String, String>> found = linesOf(number);
        assertThat(found).hasSize(1);
        assertThat(found.getFirst().toString()).doesNotContain(SECRET);
        return found.getFirst();
    }

    private List<Map<String, String>> linesOf(int number) {
        List<ILoggingEvent> written;
        synchronized (lines) { // Appenders append under their own lock.
            written = List.copyOf(lines.list);
        }
        return written.stream()
                .map(RequestLinesTest::values)
                .filter(line -> trace(number).equals(line.get("trace_id")))
                .toList();
    }

    private static Map<String, String> values(ILoggingEvent event) {
        Map<String, String> values = new TreeMap<>();
        for (KeyValuePair pair : event.getKeyValuePairs()) {
            values.put(pair.key, String.valueOf(pair.value));
        }
        return values;
    }

    @Test
    void whoeverComesBackToAResponseLeavesALineToo(SystemUnderTest system) throws Exception {
        HttpResponse<String> made = system.post(
                "/v1/responses",
                "{\"model\":\"alpha\",\"max_output_tokens\":4,\"input\":\"" + SECRET + "\"}",
                traced(1));
        assertThat(made.statusCode()).as(made.body()).isEqualTo(200);
        String path = "/v1/responses/" + JSON.readTree(made.body()).path("id").asString();
        int number = 1;
        for (String query : List.of("", "?stream=true", "/input_items")) {
            number++;
            assertThat(SystemUnderTest.fetch(system.url() + path + query, traced(number))
                            .statusCode())
                    .isEqualTo(200);
            assertThat(line(number))
                    .containsEntry("outcome", "complete")
                    .containsEntry("status", "200")
                    .containsEntry("tenant", "default")
                    .containsEntry("request", line(1).get("request"))
                    .containsKeys("total_ms", "route", "resume");
        }
        assertThat(line(2)).containsEntry("resume", "retrieve").containsEntry("route", "GET /v1/responses/{id}");
        assertThat(line(1)).containsEntry("outcome", "complete").doesNotContainKey("resume");
    }

    @Test
    void cancellingAndDeletingLeaveALineOfTheirOwn(SystemUnderTest system) throws Exception {
        String id = JSON.readTree(system.post(
                                "/v1/responses",
                                "{\"model\":\"alpha\",\"background\":true,\"ignore_eos\":true,\"max_output_tokens\":4000,\"input\":\""
                                        + SECRET + "\"}",
                                traced(60))
                        .body())
                .path("id")
                .asString();
        HttpResponse<String> cancelled = system.post("/v1/responses/" + id + "/cancel", "", traced(61));
        assertThat(cancelled.statusCode()).as(cancelled.body()).isEqualTo(200);
        HttpResponse<String> deleted = system.delete("/v1/responses/" + id, traced(62));
        assertThat(deleted.statusCode()).as(deleted.body()).isEqualTo(200);

        assertThat(line(61))
                .containsEntry("resume", "cancel")
                .containsEntry("route", "POST /v1/responses/{id}/cancel")
                .containsEntry("outcome", "complete")
                .containsEntry("request", line(60).get("request"));
        assertThat(line(62))
                .containsEntry("resume", "delete")
                .containsEntry("route", "DELETE /v1/responses/{id}")
                .containsEntry("outcome", "complete")
                .containsEntry("request", line(60).get("request"));
    }

    @Test
    void everyResponseOverAWebSocketLeavesALineOfTheTraceThatTheConnectionBegan(SystemUnderTest system)
            throws Exception {
        try (Socket socket = new Socket(system.url(), traced(50))) {
            String body = "\"model\":\"alpha\",\"max_output_tokens\":4,\"input\":\"" + SECRET + "\"";
            socket.send("{\"type\":\"response.create\"," + body + "}");
            List<String> events = socket.until(message -> message.contains("\"type\":\"response.completed\"")
                    || message.contains("\"type\":\"response.incomplete\"")
                    || message.contains("\"type\":\"error\""));
            String id =
                    JSON.readTree(events.getFirst()).path("response").path("id").asString();
            assertThat(line(50)).containsEntry("outcome", "complete").containsEntry("model", "alpha");
            socket.send("{\"type\":\"response.resume\",\"response_id\":\"" + id + "\"}");
            socket.until(message -> message.contains("\"type\":\"response.completed\"")
                    || message.contains("\"type\":\"response.incomplete\""));
        }
        Processes.await("a line of the second", () -> linesOf(50).size() == 2);
        assertThat(linesOf(50).getLast())
                .containsEntry("resume", "socket")
                .containsEntry("outcome", "complete")
                .containsEntry("request", linesOf(50).getFirst().get("request"));
        assertThat(linesOf(50).toString()).doesNotContain(SECRET);
    }

    @Test
    void whoAsksForWhatCannotBeLeavesALineWithItsStatus(SystemUnderTest system) throws Exception {
        HttpResponse<String> answer =
                SystemUnderTest.fetch(system.url() + "/v1/responses/resp_0123456789abcdef", traced(90));

        assertThat(answer.statusCode()).isEqualTo(400);
        assertThat(line(90)).containsEntry("outcome", "refused").containsEntry("status", "400");
    }

    @Test
    void aResponseThatGoesOnFromAnotherLeavesOneLineOnly(SystemUnderTest system) throws Exception {
        HttpResponse<String> made = system.post(
                "/v1/responses", "{\"model\":\"alpha\",\"max_output_tokens\":4,\"input\":\"one\"}", traced(80));
        String id = JSON.readTree(made.body()).path("id").asString();
        HttpResponse<String> next = system.post(
                "/v1/responses",
                "{\"model\":\"alpha\",\"max_output_tokens\":4,\"input\":\"two\",\"previous_response_id\":\"" + id
                        + "\"}",
                traced(81));

        assertThat(next.statusCode()).as(next.body()).isEqualTo(200);
        assertThat(line(81)).containsEntry("status", "200");
        synchronized (lines) {
            assertThat(lines.list).noneMatch(event -> values(event).containsKey("resume"));
        }
    }
}

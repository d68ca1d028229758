package io.millrace.gateway.api;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.gateway.testing.Gateway;
import io.millrace.gateway.testing.GatewayFixture;
import io.millrace.gateway.testing.Logged;
import io.millrace.gateway.testing.SlowReader;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;
import org.springframework.context.ConfigurableApplicationContext;

/** Clients that read more slowly than they are written to: they are cut, and lose nothing by it. */
@ExtendWith(GatewayFixture.class)
@Timeout(90)
class SlowClientTest {

    private static final String ECHO = "{\"model\":\"echo\",\"prompt\":\"x\"}";
    private static final String LETTERS = "ö🙂x".repeat(8 * 1024);
    private static final int PIECES = 100;
    private static final int READ_FIRST = 5;
    private static final Pattern PIECE = Pattern.compile("<(\\d+)>");

    /** A gateway with little patience. */
    private static ConfigurableApplicationContext narrow;

    private static int narrowPort;
    private static CountDownLatch begunToRead = new CountDownLatch(0);

    @BeforeAll
    static void start(Gateway gateway) {
        gateway.serve("torrent", journal -> {
            journal.admit().claim();
            for (int i = 0; i < PIECES; i++) {
                if (i == READ_FIRST) {
                    await(begunToRead);
                }
                journal.token(0, "<" + i + ">" + (i < READ_FIRST ? "" : LETTERS));
            }
            journal.end(0, "stop", "");
        });
        narrow = gateway.another("millrace.gateway.lag-max=64KB");
        narrowPort = Integer.parseInt(narrow.getEnvironment().getRequiredProperty("local.server.port"));
    }

    @AfterAll
    static void stop() {
        if (narrow != null) {
            narrow.close();
        }
    }

    private static void await(CountDownLatch latch) {
        try {
            assertThat(latch.await(20, TimeUnit.SECONDS)).isTrue();
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    @Test
    void oneThatReadsNothingIsCutAndOthersGoOn(Gateway gateway) throws Exception {
        begunToRead = new CountDownLatch(0);
        try (Logged all = Logged.of("ROOT");
                var slow = new SlowReader(
                        narrowPort,
                        "/v1/completions",
                        "{\"model\":\"torrent\",\"prompt\":\"nothing\",\"stream\":true}")) {
            String id = submitted(gateway, "nothing");
            gateway.cluster().await(request -> request.getId().equals(id) && request.hasDetach());
            assertThat(gateway.post("/v1/completions", ECHO).statusCode()).isEqualTo(200);
            assertThat(slow.isClosedByServer())
                    .as("closed although nothing is read")
                    .isTrue();
            slow.drain();
            assertThat(slow.events()).hasSizeLessThan(PIECES);
            assertThat(all.lines().stream().filter(line -> line.contains("is cut")))
                    .hasSize(1)
                    .allMatch(line -> line.contains(id));
            assertThat(all.errors()).isEmpty();
        }
    }

    @Test
    void aCompletionThatWasCutGoesOnAtAnotherGatewayByItsLastEventId(Gateway gateway) throws Exception {
        List<String> begun = readSlowly(
                gateway,
                "/v1/completions",
                "{\"model\":\"torrent\",\"prompt\":\"slow text\",\"stream\":true}",
                "slow text");
        String path = "/v1/completions/cmpl-" + submitted(gateway, "slow text");
        String rest = get(gateway, path, "Last-Event-ID", field(begun.getLast(), "id: ", "\n"));
        String whole = get(gateway, path + "?stream=true", "X-Millrace-Event-Ids", "true");
        assertWhole(begun, rest, whole);
        assertThat(rest).endsWith("data: [DONE]\n\n");
        List<String> ids = SlowReader.eventsOf(whole).stream()
                .map(event -> field(event, "id: ", "\n"))
                .toList();
        assertThat(ids).doesNotHaveDuplicates();
    }

    @Test
    void aResponseThatWasCutGoesOnAtAnotherGatewayByItsSequenceNumber(Gateway gateway) throws Exception {
        List<String> begun = readSlowly(
                gateway,
                "/v1/responses",
                "{\"model\":\"torrent\",\"input\":\"slow response\",\"stream\":true}",
                "slow response");
        String path = "/v1/responses/resp_" + submitted(gateway, "slow response") + "?stream=true";
        String rest = get(gateway, path + "&starting_after=" + number(begun.getLast()), "X-Millrace-Event-Ids", "true");
        String whole = get(gateway, path, "X-Millrace-Event-Ids", "true");
        assertWhole(begun, rest, whole);
        List<String> events = SlowReader.eventsOf(whole);
        assertThat(events.stream().map(SlowClientTest::number).toList())
                .isEqualTo(IntStream.range(0, events.size())
                        .mapToObj(String::valueOf)
                        .toList());
        assertThat(field(events.getLast(), "event: ", "\n")).isEqualTo("response.completed");
    }

    /** Reads at the narrow gateway until that has cut it; the events that came whole. */
    private static List<String> readSlowly(Gateway gateway, String path, String body, String prompt) throws Exception {
        begunToRead = new CountDownLatch(1);
        try (var slow = new SlowReader(narrowPort, path, body)) {
            slow.readEvents(READ_FIRST);
            begunToRead.countDown();
            String id = submitted(gateway, prompt);
            slow.readSlowlyUntil(() -> gateway.cluster().requests().stream()
                    .anyMatch(request -> request.getId().equals(id) && request.hasDetach()));
            slow.drain();
            return slow.events();
        }
    }

    /** What came before the cut and after it is all of it, byte for byte, and has each piece once. */
    private static void assertWhole(List<String> begun, String rest, String whole) {
        String both = String.join("", begun) + rest;
        assertThat(begun).hasSizeBetween(READ_FIRST, PIECES - 1);
        assertThat(Arrays.mismatch(bytes(both), bytes(whole)))
                .as("first byte that differs, of " + both.length() + " and " + whole.length())
                .isEqualTo(-1);
        String deltas = SlowReader.eventsOf(utf8(both)).stream()
                .filter(event -> !event.contains("\"type\":\"response.") || event.contains("output_text.delta"))
                .collect(Collectors.joining());
        assertThat(PIECE.matcher(deltas).results().map(found -> Integer.valueOf(found.group(1))))
                .isEqualTo(IntStream.range(0, PIECES).boxed().toList());
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.ISO_8859_1);
    }

    private static String utf8(String bytes) {
        return new String(bytes(bytes), StandardCharsets.UTF_8);
    }

    /** The id of the request with that prompt, once it stands in the log. */
    private static String submitted(Gateway gateway, String prompt) throws InterruptedException {
        return gateway.cluster()
                .await(request -> request.getSubmit().getModel().equals("torrent")
                        && request.getSubmit().toString().contains(prompt))
                .getId();
    }

    /** The body of an answer 200; each byte is a character. */
    private static String get(Gateway gateway, String path, String... headers) throws Exception {
        HttpResponse<String> response = gateway.http()
                .send(
                        HttpRequest.newBuilder(gateway.uri(path))
                                .headers(headers)
                                .build(),
                        HttpResponse.BodyHandlers.ofString(StandardCharsets.ISO_8859_1));
        assertThat(response.statusCode()).as(path).isEqualTo(200);
        return String.join("", SlowReader.eventsOf(response.body()));
    }

    private static String number(String event) {
        return field(event, "\"sequence_number\":", ",");
    }

    private static String field(String event, String name, String end) {
        int from = event.indexOf(name) + name.length();
        return event.substring(from, event.indexOf(end, from));
    }
}

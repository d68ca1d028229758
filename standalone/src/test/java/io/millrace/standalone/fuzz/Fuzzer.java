package io.millrace.standalone.fuzz;

import java.io.IOException;
import java.net.SocketTimeoutException;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.LongAdder;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/**
 * Sends malformed requests over many connections at a time and judges each answer: no 5xx, and every error in the shape of the API that was
 * spoken. Between them a valid request must be answered as ever. Each case is made of the seed and its number alone.
 */
public final class Fuzzer {

    /** One session of a WebSocket in so many cases; one valid request in so many of a connection's. */
    private static final int SOCKET_EVERY = 12;

    private static final int VALID_EVERY = 100;
    private static final int FAILURES_MAX = 15;
    private static final int SHOWN_MAX = 700;
    private static final String VALID =
            "{\"model\":\"alpha\",\"max_tokens\":4,\"seed\":7,\"temperature\":0,\"messages\":[{\"role\":\"user\",\"content\":\"alive?\"}]}";

    private final JsonMapper json = new JsonMapper();
    private final int port;
    private final long seed;
    private final HttpCases http;
    private final SocketCases sockets;
    private final String text;
    private final AtomicLong next = new AtomicLong();
    private final List<String> failures = new CopyOnWriteArrayList<>();
    private final Map<String, LongAdder> tally = new ConcurrentSkipListMap<>();

    /**
     * Asks the server for its API and for what a valid request is answered.
     *
     * @param seed of all that follows
     */
    public Fuzzer(int port, long seed) throws IOException {
        this.port = port;
        this.seed = seed;
        try (Wire wire = new Wire(port)) {
            ApiPage page = new ApiPage(json.readTree(fetch(wire, "GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n")));
            this.http = new HttpCases(page);
            this.sockets = new SocketCases(page);
            this.text = valid(wire);
        }
    }

    private static String fetch(Wire wire, String request) throws IOException {
        wire.send(request.getBytes(StandardCharsets.UTF_8));
        Wire.Answer answer = wire.answer(true, false);
        if (answer == null || answer.status() != 200) {
            throw new IOException("a valid request is answered " + answer);
        }
        return answer.body();
    }

    private String valid(Wire wire) throws IOException {
        String answer = fetch(
                wire,
                "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: "
                        + VALID.length() + "\r\n\r\n" + VALID);
        return json.readTree(answer).at("/choices/0/message/content").asString();
    }

    /** Sends so many more cases over so many connections; what was wrong, each with all that is needed to try it again. */
    public List<String> run(int cases, int connections) throws InterruptedException {
        long end = next.get() + cases;
        var threads = new Thread[connections];
        for (int i = 0; i < connections; i++) {
            threads[i] = Thread.ofVirtual().start(() -> connection(end));
        }
        for (Thread each : threads) {
            each.join();
        }
        next.set(end);
        return List.copyOf(failures);
    }

    /** How often each kind was answered by each status. */
    public Map<String, LongAdder> tally() {
        return tally;
    }

    private void connection(long end) {
        @Nullable Wire wire = null;
        int done = 0;
        try {
            for (long number = next.getAndIncrement();
                    number < end && failures.size() < FAILURES_MAX;
                    number = next.getAndIncrement()) {
                try {
                    var chance = new Chance(seed, number);
                    if (number % SOCKET_EVERY == 0) {
                        session(sockets.make(chance), number);
                        continue;
                    }
                    wire = wire == null ? new Wire(port) : wire;
                    if (++done % VALID_EVERY == 0 && !valid(wire).equals(text)) {
                        fail("a valid request is answered otherwise before case " + number);
                    }
                    wire = send(wire, http.make(chance), number);
                } catch (IOException | RuntimeException broken) {
                    fail(where(number) + ": " + broken);
                    wire = closed(wire);
                }
            }
        } finally {
            closed(wire);
        }
    }

    private static @Nullable Wire closed(@Nullable Wire wire) {
        try {
            if (wire != null) {
                wire.close();
            }
        } catch (IOException gone) {
            return null;
        }
        return null;
    }

    private String where(long number) {
        return "seed " + seed + " case " + number;
    }

    /** The connection for the next case; null: a new one. */
    private @Nullable Wire send(Wire wire, HttpCase each, long number) throws IOException {
        Wire.Answer answer;
        try {
            wire.send(each.bytes());
        } catch (IOException closedBefore) {
            // The server had enough of it.
            count(each.kind(), "closed");
            return closed(wire);
        }
        if (each.answer() == HttpCase.Answer.NONE) {
            switch ((int) (number % 3)) {
                case 0 -> wire.vanish();
                case 1 -> {
                    wire.half();
                    wire.answer(false, false);
                }
                default -> {}
            }
            count(each.kind(), "left");
            return closed(wire);
        }
        try {
            answer = wire.answer(each.answer() == HttpCase.Answer.MUST, each.head());
        } catch (SocketTimeoutException silence) {
            fail(told(each, number, "no answer within " + Wire.PATIENCE_MS + " ms"));
            return closed(wire);
        }
        count(each.kind(), answer == null ? "closed" : Integer.toString(answer.status()));
        if (answer == null) {
            if (each.answer() == HttpCase.Answer.MUST) {
                fail(told(each, number, "closed without an answer"));
            }
            return closed(wire);
        }
        String wrong = wrong(answer, each.shape(), each.head());
        if (wrong != null) {
            fail(told(each, number, wrong + " in " + answer));
        }
        return answer.more()
                        && each.answer() == HttpCase.Answer.MUST
                        && !each.kind().equals("pipelined")
                ? wire
                : closed(wire);
    }

    /** Told at once too: a run that hangs says nothing at its end. */
    private void fail(String wrong) {
        failures.add(wrong);
        System.out.println("Fuzzer: " + wrong);
    }

    private void count(String kind, String outcome) {
        tally.computeIfAbsent(kind + " " + outcome, name -> new LongAdder()).increment();
    }

    private String told(HttpCase each, long number, String wrong) {
        String sent = new String(each.bytes(), StandardCharsets.ISO_8859_1);
        String shown = sent.length() > SHOWN_MAX ? sent.substring(0, SHOWN_MAX) + "…" : sent;
        return where(number) + " (" + each.kind() + "): " + wrong + "\n  sent: "
                + shown.replace("\r", "\\r").replace("\n", "\\n");
    }

    /** What is wrong with an answer; null: nothing. */
    private @Nullable String wrong(Wire.Answer answer, HttpCase.Shape shape, boolean head) {
        if (answer.status() >= 500) {
            return "a status of " + answer.status();
        }
        if (answer.body().contains("\"internal_error\"") || answer.body().contains("\"type\":\"server_error\"")) {
            return "a fault within";
        }
        if (answer.status() < 400 || head) {
            return null;
        }
        if (!answer.headers().getOrDefault("content-type", "").startsWith("application/json")) {
            return "an error that is no JSON";
        }
        try {
            JsonNode object = json.readTree(answer.body());
            String message = object.at("/error/message").asString("");
            boolean anthropic = object.path("type").asString("").equals("error");
            boolean openAi =
                    object.at("/error").has("code") && object.at("/error").has("param");
            boolean shaped = switch (shape) {
                case ANTHROPIC -> anthropic;
                case OPENAI -> openAi;
                case EITHER -> anthropic || openAi;
            };
            return shaped
                            && !message.isBlank()
                            && !message.contains("io.millrace")
                            && object.at("/error").has("type")
                    ? null
                    : "an error of another shape";
        } catch (JacksonException broken) {
            return "an error that is no JSON";
        }
    }

    private void session(SocketCases.Session session, long number) throws IOException {
        try (Wire wire = new Wire(port)) {
            wire.send(session.hello());
            Wire.Answer answer = wire.answer(true, false);
            count("websocket " + session.kind(), answer == null ? "closed" : Integer.toString(answer.status()));
            if (answer == null) {
                fail(where(number) + " (" + session.kind() + "): closed without an answer");
                return;
            }
            if (answer.status() != 101) {
                String wrong = session.handshake()
                        ? "a handshake that is refused"
                        : wrong(answer, HttpCase.Shape.OPENAI, false);
                if (wrong != null) {
                    fail(where(number) + " (" + session.kind() + "): " + wrong + " in " + answer);
                }
                return;
            }
            for (byte[] frame : session.frames()) {
                try {
                    wire.send(frame);
                } catch (IOException closed) {
                    break;
                }
            }
            for (Wire.Frame frame = wire.frame(false); frame != null; frame = wire.frame(false)) {
                if (frame.opcode() == 0x81) {
                    event(new String(frame.payload(), StandardCharsets.UTF_8), number);
                }
            }
            if (number % 2 == 0) {
                wire.vanish();
            }
        }
    }

    private void event(String text, long number) {
        JsonNode event = json.readTree(text);
        boolean error = event.path("type").asString("").equals("error");
        boolean told = !error || !event.at("/error/message").asString("").isBlank();
        count("websocket", error ? "error events" : "events");
        if (!told
                || event.path("type").asString("").isEmpty()
                || text.contains("\"internal_error\"")
                || text.contains("\"type\":\"server_error\"")) {
            fail(where(number) + " (websocket): an event " + text);
        }
    }
}

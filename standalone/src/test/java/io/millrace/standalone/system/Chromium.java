package io.millrace.standalone.system;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.WebSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** A real Chromium without a window, driven by the DevTools protocol (https://chromedevtools.github.io/devtools-protocol/). */
final class Chromium implements AutoCloseable {

    private static final Pattern ADDRESS = Pattern.compile("ws://\\S+");
    private static final JsonMapper JSON = JsonMapper.builder().build();
    private static final int WIDE = 1440;
    private static final int HIGH = 900;

    private final Process process;
    private final HttpClient http = HttpClient.newHttpClient();
    private final AtomicInteger ids = new AtomicInteger();
    private final Map<Integer, CompletableFuture<JsonNode>> waiting = new ConcurrentHashMap<>();
    private final List<String> faults = new CopyOnWriteArrayList<>();
    private final WebSocket socket;

    private Chromium(Process process, String address) throws Exception {
        this.process = process;
        this.socket = http.newWebSocketBuilder()
                .buildAsync(URI.create(address), new Listener())
                .get(20, TimeUnit.SECONDS);
    }

    /** Where it is: {@code CHROMIUM}, or what Debian, Ubuntu or Chrome's own package install. */
    static Optional<Path> find() {
        return Stream.of(
                        System.getenv("CHROMIUM"),
                        "/usr/lib/chromium/chromium",
                        "/usr/bin/chromium",
                        "/usr/bin/google-chrome",
                        "/snap/bin/chromium")
                .filter(path -> path != null && !path.isEmpty())
                .map(Path::of)
                .filter(Files::isExecutable)
                .findFirst();
    }

    /** Starts one with an empty profile in that folder, and an empty page in it. */
    static Chromium start(Path binary, Path profile) throws Exception {
        Process process = new ProcessBuilder(
                        binary.toString(),
                        "--headless=new",
                        "--no-sandbox",
                        "--disable-gpu",
                        "--disable-dev-shm-usage",
                        "--no-first-run",
                        "--remote-debugging-port=0",
                        "--user-data-dir=" + profile,
                        "about:blank")
                .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                .start();
        try {
            URI browser = URI.create(address(process));
            String pages = SystemUnderTest.fetch("http://" + browser.getAuthority() + "/json")
                    .body();
            for (JsonNode page : JSON.readTree(pages)) {
                if (page.get("type").stringValue().equals("page")) {
                    var chromium = new Chromium(
                            process, page.get("webSocketDebuggerUrl").stringValue());
                    chromium.send("Page.enable", Map.of());
                    chromium.send("Runtime.enable", Map.of());
                    chromium.size(WIDE, HIGH);
                    return chromium;
                }
            }
            throw new IOException("Chromium has no page: " + pages);
        } catch (Exception | Error failure) {
            process.destroyForcibly();
            throw failure;
        }
    }

    private static String address(Process process) throws IOException {
        var lines = new BufferedReader(new InputStreamReader(process.getErrorStream(), UTF_8));
        var said = new ArrayList<String>();
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            said.add(line);
            Matcher address = ADDRESS.matcher(line);
            if (address.find()) {
                Thread.ofVirtual().start(() -> lines.lines().forEach(rest -> {}));
                return address.group();
            }
        }
        throw new IOException("Chromium does not start: " + said);
    }

    /** Sends a command, and gives its result. */
    JsonNode send(String method, Map<String, ?> parameters) throws Exception {
        int id = ids.incrementAndGet();
        var answer = new CompletableFuture<JsonNode>();
        waiting.put(id, answer);
        Map<String, Object> message = new LinkedHashMap<>();
        message.put("id", id);
        message.put("method", method);
        message.put("params", parameters);
        socket.sendText(JSON.writeValueAsString(message), true).get(20, TimeUnit.SECONDS);
        JsonNode whole = answer.get(60, TimeUnit.SECONDS);
        if (whole.has("error")) {
            throw new AssertionError(method + ": " + whole.get("error"));
        }
        return whole.get("result");
    }

    void open(String url) throws Exception {
        send("Page.navigate", Map.of("url", url));
        await("the page", "document.readyState === 'complete' && document.querySelector('#model option') !== null");
    }

    void reload() throws Exception {
        evaluate("window.before = true");
        send("Page.reload", Map.of());
        await("the page again", "window.before === undefined && document.readyState === 'complete'");
    }

    void size(int width, int height) throws Exception {
        send(
                "Emulation.setDeviceMetricsOverride",
                Map.of("width", width, "height", height, "deviceScaleFactor", 1, "mobile", false));
    }

    /** {@code dark} or {@code light}. */
    void scheme(String value) throws Exception {
        send(
                "Emulation.setEmulatedMedia",
                Map.of("features", List.of(Map.of("name", "prefers-color-scheme", "value", value))));
    }

    /** The value of an expression in the page; promises are awaited. */
    JsonNode evaluate(String expression) throws Exception {
        JsonNode result = send(
                "Runtime.evaluate",
                Map.of("expression", expression, "awaitPromise", true, "returnByValue", true, "userGesture", true));
        if (result.has("exceptionDetails")) {
            throw new AssertionError(expression + ": " + result.get("exceptionDetails"));
        }
        JsonNode value = result.get("result").get("value");
        return value == null ? JSON.nullNode() : value;
    }

    String text(String expression) throws Exception {
        return evaluate("String(" + expression + ")").stringValue();
    }

    /** Waits until the expression is true, 120 s at most. */
    void await(String what, String expression) throws Exception {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(120);
        while (!evaluate("Boolean(" + expression + ")").booleanValue()) {
            if (System.nanoTime() > end) {
                throw new AssertionError(what + ": not within 120 s; the page says "
                        + text("document.querySelector('main').innerText") + ", faults " + faults);
            }
            TimeUnit.MILLISECONDS.sleep(20);
        }
    }

    /** Types into what has the focus. */
    void type(String text) throws Exception {
        send("Input.insertText", Map.of("text", text));
    }

    /** Presses and lets go a key without text, or Enter. */
    void press(String key, int code, int modifiers) throws Exception {
        Map<String, Object> event = new LinkedHashMap<>(Map.of(
                "key", key, "code", key, "windowsVirtualKeyCode", code, "modifiers", modifiers, "type", "keyDown"));
        if (key.equals("Enter")) {
            event.put("text", "\r");
        }
        send("Input.dispatchKeyEvent", event);
        event.put("type", "keyUp");
        send("Input.dispatchKeyEvent", event);
    }

    /** Exceptions that nothing in the page caught, since it was started. */
    List<String> faults() {
        return faults;
    }

    @Override
    public void close() throws InterruptedException {
        socket.abort();
        http.shutdownNow();
        process.descendants().forEach(ProcessHandle::destroyForcibly);
        process.destroyForcibly();
        process.waitFor(20, TimeUnit.SECONDS);
    }

    private final class Listener implements WebSocket.Listener {

        private final StringBuilder message = new StringBuilder();

        @Override
        public CompletionStage<?> onText(WebSocket from, CharSequence data, boolean last) {
            message.append(data);
            if (last) {
                JsonNode whole = JSON.readTree(message.toString());
                message.setLength(0);
                CompletableFuture<JsonNode> answer =
                        whole.has("id") ? waiting.remove(whole.get("id").intValue()) : null;
                if (answer != null) {
                    answer.complete(whole);
                } else if (whole.path("method").asString("").equals("Runtime.exceptionThrown")) {
                    faults.add(whole.get("params").toString());
                }
            }
            from.request(1);
            return CompletableFuture.completedFuture(null);
        }
    }
}

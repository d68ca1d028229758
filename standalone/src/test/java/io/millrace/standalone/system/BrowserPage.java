package io.millrace.standalone.system;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/** A web page of an origin of its own that checks a WebSocket in a browser and reports what it found. */
final class BrowserPage implements AutoCloseable {

    private static final Path SOURCES = Path.of("src/test/clients/browser");

    private final HttpServer server;
    private final CompletableFuture<String> report = new CompletableFuture<>();

    BrowserPage() throws IOException {
        server = HttpServer.create(new InetSocketAddress(InetAddress.getByName("127.0.0.1"), 0), 0);
        server.createContext("/index.html", exchange -> file(exchange, "text/html"));
        server.createContext("/socket.mjs", exchange -> file(exchange, "text/javascript"));
        server.createContext("/report", exchange -> {
            report.complete(new String(exchange.getRequestBody().readAllBytes(), StandardCharsets.UTF_8));
            exchange.sendResponseHeaders(204, -1);
            exchange.close();
        });
        server.start();
    }

    private static void file(HttpExchange exchange, String type) throws IOException {
        byte[] bytes = Files.readAllBytes(
                SOURCES.resolve(exchange.getRequestURI().getPath().substring(1)));
        exchange.getResponseHeaders().set("Content-Type", type);
        exchange.sendResponseHeaders(200, bytes.length);
        exchange.getResponseBody().write(bytes);
        exchange.close();
    }

    String origin() {
        return "http://127.0.0.1:" + server.getAddress().getPort();
    }

    /**
     * Opens the page in a browser without a window; its checks, each with {@code ok} or what went wrong.
     *
     * @param profile a folder for the browser
     */
    Map<String, String> open(Path profile, String socketUrl, String key, String model) throws Exception {
        String browser = Stream.of("chromium", "chromium-browser", "google-chrome")
                .flatMap(name -> ClientPrograms.onPath(name).stream())
                .findFirst()
                .orElseGet(() -> ClientPrograms.missing("no chromium or google-chrome is on the PATH"));
        String url = origin() + "/index.html?url=" + encoded(socketUrl) + "&key=" + encoded(key) + "&model="
                + encoded(model);
        Process process = new ProcessBuilder(
                        browser,
                        "--headless",
                        "--no-sandbox", // root has none
                        "--disable-gpu",
                        "--disable-dev-shm-usage",
                        "--no-first-run",
                        "--user-data-dir=" + profile,
                        url)
                .redirectErrorStream(true)
                .redirectOutput(profile.resolveSibling("browser.out").toFile())
                .start();
        try {
            return ClientPrograms.read(report.get(60, TimeUnit.SECONDS));
        } finally {
            List<ProcessHandle> all = Stream.concat(process.descendants(), Stream.of(process.toHandle()))
                    .toList();
            all.forEach(ProcessHandle::destroyForcibly);
            all.forEach(each -> each.onExit().join()); // they write to the profile until then
        }
    }

    private static String encoded(String text) {
        return URLEncoder.encode(text, StandardCharsets.UTF_8);
    }

    @Override
    public void close() {
        server.stop(0);
    }
}

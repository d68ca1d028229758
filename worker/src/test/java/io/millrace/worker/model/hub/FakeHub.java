package io.millrace.worker.model.hub;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import org.jspecify.annotations.Nullable;

/** A hub over real HTTP: one repository, org/name, with the ways a real one fails. */
final class FakeHub implements AutoCloseable {

    final Map<String, byte[]> files = new TreeMap<>();
    /** Method, path and range of each request. */
    final List<String> requests = new CopyOnWriteArrayList<>();

    final List<String> tokens = new CopyOnWriteArrayList<>();
    /** File → bytes after which the connection breaks, once. */
    final Map<String, Integer> breaks = new ConcurrentHashMap<>();

    final Map<String, String> falseChecksums = new ConcurrentHashMap<>();
    volatile @Nullable String requiredToken;
    volatile boolean ignoresRange;
    /** Large files come from another host, by addresses that are signed for GET. */
    volatile boolean redirects;

    volatile int everyAnswer;

    private final HttpServer server;
    private final ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor();

    FakeHub() throws IOException {
        server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.setExecutor(threads);
        server.createContext("/", this::handle);
        server.start();
    }

    URI uri() {
        return URI.create("http://127.0.0.1:" + server.getAddress().getPort());
    }

    private void handle(HttpExchange exchange) throws IOException {
        try (exchange) {
            String path = exchange.getRequestURI().getPath();
            String range = exchange.getRequestHeaders().getFirst("Range");
            requests.add(exchange.getRequestMethod() + " " + path + (range == null ? "" : " " + range));
            String token = exchange.getRequestHeaders().getFirst("Authorization");
            if (!path.startsWith("/cdn/") && requiredToken != null && !("Bearer " + requiredToken).equals(token)) {
                exchange.sendResponseHeaders(401, -1);
                return;
            }
            tokens.add(path + " " + token);
            if (everyAnswer != 0) {
                exchange.sendResponseHeaders(everyAnswer, -1);
            } else if (path.equals("/api/models/org/name")) {
                list(exchange);
            } else if (path.startsWith("/cdn/")) {
                if (exchange.getRequestMethod().equals("HEAD")) {
                    exchange.sendResponseHeaders(403, -1);
                } else {
                    String name = path.substring("/cdn/".length());
                    send(exchange, name, files.getOrDefault(name, new byte[0]));
                }
            } else if (path.startsWith("/org/name/resolve/main/")) {
                resolve(exchange, path.substring("/org/name/resolve/main/".length()));
            } else {
                exchange.sendResponseHeaders(404, -1);
            }
        }
    }

    private void list(HttpExchange exchange) throws IOException {
        StringBuilder json = new StringBuilder("{\"siblings\":[");
        String comma = "";
        for (String name : files.keySet()) {
            json.append(comma).append("{\"rfilename\":\"").append(name).append("\"}");
            comma = ",";
        }
        byte[] body = json.append("]}").toString().getBytes(StandardCharsets.UTF_8);
        exchange.sendResponseHeaders(200, body.length);
        exchange.getResponseBody().write(body);
    }

    private void resolve(HttpExchange exchange, String name) throws IOException {
        byte[] content = files.get(name);
        if (content == null) {
            exchange.sendResponseHeaders(404, -1);
            return;
        }
        boolean large = name.endsWith(".safetensors") || name.endsWith(".gguf");
        String etag = falseChecksums.getOrDefault(name, large ? hex("SHA-256", content) : gitBlob(content));
        exchange.getResponseHeaders().set(large ? "X-Linked-Etag" : "ETag", "\"" + etag + "\"");
        exchange.getResponseHeaders().set("X-Linked-Size", Integer.toString(content.length));
        if (large && redirects) {
            exchange.getResponseHeaders()
                    .set("Location", "http://localhost:" + server.getAddress().getPort() + "/cdn/" + name);
            exchange.sendResponseHeaders(302, -1);
        } else if (exchange.getRequestMethod().equals("HEAD")) {
            exchange.sendResponseHeaders(200, -1);
        } else {
            send(exchange, name, content);
        }
    }

    private void send(HttpExchange exchange, String name, byte[] content) throws IOException {
        String range = exchange.getRequestHeaders().getFirst("Range");
        int from = range == null || ignoresRange ? 0 : Integer.parseInt(range.replaceAll("\\D", ""));
        exchange.sendResponseHeaders(from > 0 ? 206 : 200, content.length - from);
        Integer stop = breaks.remove(name);
        OutputStream out = exchange.getResponseBody();
        out.write(Arrays.copyOfRange(content, from, stop == null ? content.length : stop));
        out.flush();
    }

    private static String gitBlob(byte[] content) {
        byte[] header = ("blob " + content.length + "\0").getBytes(StandardCharsets.US_ASCII);
        byte[] all = Arrays.copyOf(header, header.length + content.length);
        System.arraycopy(content, 0, all, header.length, content.length);
        return hex("SHA-1", all);
    }

    private static String hex(String algorithm, byte[] content) {
        try {
            return HexFormat.of().formatHex(MessageDigest.getInstance(algorithm).digest(content));
        } catch (NoSuchAlgorithmException e) {
            throw new AssertionError(e);
        }
    }

    @Override
    public void close() {
        server.stop(0);
        threads.shutdownNow();
    }
}

package io.millrace.bench.chaos;

import io.millrace.bench.chaos.ChaosNode.Role;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpTimeoutException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * Follows streams as a real client does: sends with an idempotency key, and when its connection breaks or says nothing for some seconds, goes on at
 * another gateway from the last event it has. Thread-safe.
 */
final class ChaosClient implements AutoCloseable {

    /** Gateways send comments every 2 s. */
    private static final long SILENCE_NANOS_MAX = 6_000_000_000L;

    private static final Duration ANSWER_MAX = Duration.ofSeconds(12);
    private static final long PATIENCE_NANOS = 300_000_000_000L;
    private static final int BACKOFF_MS_MAX = 1_000;
    /** Statuses after which the same is worth another try. */
    private static final Set<Integer> AGAIN = Set.of(429, 502, 503);

    /** A connection that is read, and when something last came over it. */
    private static final class Line {
        private final InputStream body;
        private volatile long heardNanos = System.nanoTime();

        Line(InputStream body) {
            this.body = body;
        }
    }

    private final ChaosCluster cluster;
    private final HttpClient http = HttpClient.newBuilder()
            .version(HttpClient.Version.HTTP_1_1)
            .connectTimeout(Duration.ofSeconds(2))
            .build();
    private final Set<Line> lines = ConcurrentHashMap.newKeySet();
    private final ScheduledExecutorService watchdog = Executors.newSingleThreadScheduledExecutor(
            Thread.ofPlatform().name("chaos-watchdog").daemon().factory());

    ChaosClient(ChaosCluster cluster) {
        this.cluster = cluster;
        watchdog.scheduleAtFixedRate(this::cutSilent, 500, 500, TimeUnit.MILLISECONDS);
    }

    private void cutSilent() {
        long now = System.nanoTime();
        for (Line line : lines) {
            if (now - line.heardNanos > SILENCE_NANOS_MAX) {
                lines.remove(line);
                try {
                    line.body.close();
                } catch (IOException gone) {
                    // Its reader learns of it by itself.
                }
            }
        }
    }

    /** Asks and reads until the answer is whole, has failed for good, or {@value #PATIENCE_NANOS} ns are over. */
    StreamResult follow(Ask ask, StreamState state) throws InterruptedException {
        long end = System.nanoTime() + PATIENCE_NANOS;
        int failures = 0;
        while (!state.isOver() && System.nanoTime() - end < 0) {
            ChaosNode gateway = gateway(state.lastGateway());
            state.connecting(gateway);
            try {
                boolean progress = connection(ask, state, cluster.url(gateway));
                failures = progress ? 0 : failures + 1;
            } catch (IOException broken) {
                failures++;
            }
            if (!state.isOver() && failures > 0) {
                long most = Math.min(BACKOFF_MS_MAX, 20L << Math.min(failures, 10));
                TimeUnit.MILLISECONDS.sleep(ThreadLocalRandom.current().nextLong(10, most));
            }
        }
        return state.result();
    }

    /** Any that takes work, rather not the one that just failed. */
    private ChaosNode gateway(@Nullable ChaosNode not) {
        List<ChaosNode> all = cluster.nodes(Role.GATEWAY);
        List<ChaosNode> ready =
                all.stream().filter(node -> node.isReady() && node != not).toList();
        List<ChaosNode> from = ready.isEmpty() ? all : ready;
        return from.get(ThreadLocalRandom.current().nextInt(from.size()));
    }

    /** One connection to its end; whether it brought any event. */
    private boolean connection(Ask ask, StreamState state, String url) throws IOException, InterruptedException {
        HttpRequest request = state.canResume()
                ? HttpRequest.newBuilder(URI.create(url + "/v1/completions/" + state.id()))
                        .header("Last-Event-ID", state.lastEvent())
                        .timeout(ANSWER_MAX)
                        .build()
                : HttpRequest.newBuilder(URI.create(url + "/v1/completions"))
                        .header("Content-Type", "application/json")
                        .header("X-Millrace-Event-Ids", "true")
                        .header("Idempotency-Key", state.key())
                        .timeout(ANSWER_MAX)
                        .POST(HttpRequest.BodyPublishers.ofString(
                                ask.body(cluster.setup().name())))
                        .build();
        HttpResponse<InputStream> response;
        try {
            response = http.send(request, HttpResponse.BodyHandlers.ofInputStream());
        } catch (HttpTimeoutException slow) {
            return false;
        }
        try (InputStream body = response.body()) {
            if (response.statusCode() != 200) {
                String text = new String(body.readAllBytes(), StandardCharsets.UTF_8);
                if (!AGAIN.contains(response.statusCode())) {
                    state.fail(response.statusCode() + " " + text);
                }
                return false;
            }
            return read(body, state);
        }
    }

    private boolean read(InputStream body, StreamState state) throws IOException {
        var line = new Line(body);
        lines.add(line);
        boolean any = false;
        try (var reader = new BufferedReader(new InputStreamReader(body, StandardCharsets.UTF_8))) {
            String place = "";
            String data = "";
            for (String text = reader.readLine(); text != null; text = reader.readLine()) {
                line.heardNanos = System.nanoTime();
                if (text.startsWith("id: ")) {
                    place = text.substring(4);
                } else if (text.startsWith("data: ")) {
                    data = text.substring(6);
                } else if (text.isEmpty() && !data.isEmpty()) {
                    state.event(place, data);
                    any = true;
                    place = "";
                    data = "";
                }
            }
        } finally {
            lines.remove(line);
        }
        return any;
    }

    @Override
    public void close() {
        watchdog.shutdownNow();
        http.shutdownNow();
    }
}

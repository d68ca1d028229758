package io.millrace.standalone.system;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.shared.net.FreePort;
import io.millrace.standalone.cli.CommandLines;
import io.millrace.standalone.parts.Role;
import io.millrace.standalone.telemetry.Dashboards;
import io.millrace.standalone.telemetry.PanelPictures;
import io.millrace.standalone.telemetry.PanelPictures.Line;
import io.millrace.standalone.telemetry.PanelPictures.Panel;
import io.millrace.standalone.telemetry.RealTools;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** A running Millrace under traffic, seen by a real Jaeger and a real Prometheus. */
@Tag("long")
class RealToolsTest {

    private static final JsonMapper JSON = new JsonMapper();
    private static final String TRACE = "5b8aa5a2d2c872e8321cf37308d69df2";
    private static final String[] KEYS = {"key-a", "key-b"};

    @TempDir
    static Path dir;

    private static final AtomicBoolean OVER = new AtomicBoolean();
    private static Map<String, String> ports = Map.of();
    private static SystemUnderTest system;
    private static long beganS;

    @BeforeAll
    static void start() throws Exception {
        RealTools.require("RealToolsTest", "jaeger", "prometheus", "promtool");
        ports = RealTools.startJaeger(dir);
        ports.put("PROM_PORT", Integer.toString(FreePort.on(null)));
        String admin = adminKey();
        system = SystemUnderTest.start(
                dir,
                Map.ofEntries(
                        Map.entry("millrace.worker.models[0]", "mock:alpha"),
                        Map.entry("millrace.worker.mock-step", "10ms"),
                        Map.entry(
                                "millrace.gateway.keys-file",
                                dir.resolve("keys.json").toString()),
                        Map.entry("millrace.gateway.api-keys.key-a", "acme"),
                        Map.entry("millrace.gateway.api-keys.key-b", "umbrella"),
                        Map.entry("millrace.gateway.tenant-concurrent", 24),
                        Map.entry("millrace.telemetry.otlp-endpoint", "http://127.0.0.1:" + ports.get("OTLP_HTTP")),
                        Map.entry("millrace.telemetry.step-every", 20),
                        Map.entry("millrace.telemetry.export-interval", "50ms")));
        Processes.await("the model", () -> chat("key-a", "are you there", 4, "", false) == 200);
        Path config = dir.resolve("prometheus.yml");
        Files.writeString(config, """
                global: {scrape_interval: 1s, evaluation_interval: 1s}
                rule_files: [%s]
                scrape_configs:
                  - job_name: millrace
                    metrics_path: /actuator/prometheus
                    honor_labels: true
                    authorization: {credentials: %s}
                    static_configs: [{targets: ["%s"]}]
                """.formatted(
                        Dashboards.ROOT.resolve("observability/prometheus/rules.yml"),
                        admin,
                        system.url().substring(7)));
        RealTools.script(ports, "start-prometheus.sh", dir.toString(), config.toString());
        beganS = System.currentTimeMillis() / 1_000;
        traffic();
    }

    /** Where there are keys, metrics want one of the scope admin. */
    private static String adminKey() {
        var said = new ByteArrayOutputStream();
        String[] create = ("keys create --tenant prometheus --scope admin --data-dir " + dir).split(" ");
        int status = CommandLines.run(create, new PrintStream(said, true, StandardCharsets.UTF_8), System.err);
        assertThat(status).isZero();
        return said.toString(StandardCharsets.UTF_8).lines().findFirst().orElseThrow();
    }

    /** Two tenants, one of which asks for more than it may; a worker that comes and goes; errors of theirs; one traced call. */
    private static void traffic() throws Exception {
        Processes.await("the first scrape", () -> !query("up == 1").isEmpty());
        try (var threads = Executors.newVirtualThreadPerTaskExecutor()) {
            List<Future<?>> all = new ArrayList<>();
            for (int i = 0; i < 12; i++) {
                String key = KEYS[i % 2];
                all.add(threads.submit(() -> {
                    for (int n = 0; !OVER.get(); n++) {
                        chat(key, "the same beginning of every prompt, then number " + n % 4, 60, "", n % 2 == 0);
                    }
                }));
            }
            for (int round = 0; round < 2; round++) {
                SystemUnderTest second =
                        system.another(Role.WORKER, Map.of("millrace.worker.drain-grace", "50ms", "server.port", 0));
                TimeUnit.SECONDS.sleep(4);
                for (int i = 0; i < 40; i++) {
                    all.add(threads.submit(() -> chat("key-b", "a burst", 40, "", false)));
                }
                second.close();
                TimeUnit.SECONDS.sleep(4);
            }
            chat("key-a", "trace me", 20, TRACE, false);
            TimeUnit.SECONDS.sleep(6);
            OVER.set(true);
            for (Future<?> each : all) {
                each.get(60, TimeUnit.SECONDS);
            }
        }
    }

    @AfterAll
    static void stop() throws Exception {
        OVER.set(true);
        if (system != null) {
            system.close();
        }
        if (Files.exists(dir.resolve("run"))) {
            RealTools.script(ports, "start-prometheus.sh", dir.toString(), "stop");
            RealTools.script(ports, "start-jaeger.sh", dir.toString(), "stop");
        }
    }

    private static int chat(String key, String text, int tokens, String trace, boolean stream) {
        try {
            var headers = new ArrayList<>(List.of("Authorization", "Bearer " + key));
            if (!trace.isEmpty()) {
                headers.addAll(List.of("traceparent", "00-" + trace + "-00f067aa0ba902b7-01"));
            }
            return system.post(
                            "/v1/chat/completions",
                            "{\"model\":\"alpha\",\"stream\":" + stream + ",\"max_tokens\":" + tokens
                                    + ",\"ignore_eos\":true,\"messages\":[{\"role\":\"user\",\"content\":\"" + text
                                    + "\"}]}",
                            headers.toArray(String[]::new))
                    .statusCode();
        } catch (Exception e) {
            throw new AssertionError(e);
        }
    }

    private static JsonNode api(String port, String path) {
        try {
            return JSON.readTree(SystemUnderTest.fetch("http://127.0.0.1:" + ports.get(port) + path)
                    .body());
        } catch (Exception e) {
            throw new AssertionError(e);
        }
    }

    private static String encoded(String text) {
        return URLEncoder.encode(text, StandardCharsets.UTF_8);
    }

    private static JsonNode query(String expression) {
        JsonNode answer = api("PROM_PORT", "/api/v1/query?query=" + encoded(expression));
        assertThat(answer.path("status").asString())
                .as("%s: %s", expression, answer)
                .isEqualTo("success");
        return answer.path("data").path("result");
    }

    private static List<Line> range(Dashboards.Query query) {
        long now = System.currentTimeMillis() / 1_000;
        JsonNode answer = api(
                "PROM_PORT",
                "/api/v1/query_range?query=" + encoded(query.filled("5s")) + "&start=" + (beganS + 5) + "&end=" + now
                        + "&step=1");
        List<Line> lines = new ArrayList<>();
        for (JsonNode series : answer.path("data").path("result")) {
            JsonNode values = series.path("values");
            double[] times = new double[values.size()];
            double[] points = new double[values.size()];
            for (int i = 0; i < times.length; i++) {
                times[i] = values.get(i).get(0).asDouble();
                String text = values.get(i).get(1).asString();
                points[i] = text.equals("+Inf") ? Double.POSITIVE_INFINITY : Double.parseDouble(text);
            }
            String name = query.legend();
            for (var label : series.path("metric").properties()) {
                name = name.replace(
                        "{{" + label.getKey() + "}}", label.getValue().asString());
            }
            lines.add(new Line(name, times, points));
        }
        return lines;
    }

    @Test
    void noPanelOfAnyDashboardIsEmpty() throws Exception {
        Path pictures = Files.createDirectories(Path.of("target/dashboards"));
        List<String> empty = new ArrayList<>();
        for (JsonNode dashboard : Dashboards.all()) {
            Map<String, List<Line>> lines = new TreeMap<>();
            for (Dashboards.Query query : Dashboards.queries(dashboard)) {
                List<Line> found = range(query);
                if (found.isEmpty()) {
                    empty.add(query.toString());
                }
                lines.computeIfAbsent(query.panel(), panel -> new ArrayList<>()).addAll(found);
                for (String metric : Dashboards.metrics(query.expression())) {
                    String series = query.expression().contains(metric + "_bucket") ? metric + "_bucket" : metric;
                    series = query.expression().contains(metric + "_sum") ? metric + "_sum" : series;
                    series = query.expression().contains(metric + "_count") ? metric + "_count" : series;
                    if (query("last_over_time(" + series + "[2m])").isEmpty()) {
                        empty.add(series + " of " + query);
                    }
                }
            }
            List<Panel> panels = new ArrayList<>();
            for (JsonNode panel : dashboard.path("panels")) {
                String title = panel.path("title").asString();
                panels.add(new Panel(
                        title,
                        panel.path("fieldConfig").path("defaults").path("unit").asString(),
                        lines.getOrDefault(title, List.of())));
            }
            PanelPictures.draw(panels, pictures.resolve(dashboard.path("uid").asString() + ".png"));
        }
        assertThat(empty).isEmpty();
    }

    @Test
    void everyRecordingRuleHasSamplesAndEveryRuleIsHealthy() {
        JsonNode groups = api("PROM_PORT", "/api/v1/rules").path("data").path("groups");
        int recorded = 0;
        for (JsonNode group : groups) {
            for (JsonNode rule : group.path("rules")) {
                assertThat(rule.path("health").asString()).as("%s", rule).isEqualTo("ok");
                if (rule.path("type").asString().equals("recording")) {
                    recorded++;
                    String name = rule.path("name").asString();
                    if (!name.equals("millrace:request_errors:ratio5m")) { // No server error is wanted here.
                        assertThat(query(name).isEmpty()).as(name).isFalse();
                    }
                }
            }
        }
        assertThat(recorded).isEqualTo(5);
    }

    @Test
    void exemplarsInPrometheusLeadToTheTraceInJaeger() {
        JsonNode found = api(
                        "PROM_PORT",
                        "/api/v1/query_exemplars?query=millrace_time_to_first_token_seconds_bucket&start=" + beganS
                                + "&end=" + System.currentTimeMillis() / 1_000)
                .path("data");
        String trace = found.path(0)
                .path("exemplars")
                .path(0)
                .path("labels")
                .path("trace_id")
                .asString("");
        assertThat(trace).as("%s", found).hasSize(32);
        assertThat(services(trace)).contains("millrace-gateway", "millrace-router", "millrace-worker");
    }

    private static Set<String> services(String trace) {
        Set<String> names = new HashSet<>();
        api("QUERY", "/api/traces/" + trace)
                .path("data")
                .path(0)
                .path("processes")
                .forEach(each -> names.add(each.path("serviceName").asString()));
        return names;
    }

    @Test
    void jaegerShowsTheRequestAsOneTreeWithEveryHop() throws Exception {
        Callable<JsonNode> spans =
                () -> api("QUERY", "/api/traces/" + TRACE).path("data").path(0).path("spans");
        Set<String> wanted = Set.of(
                "POST /v1/chat/completions",
                "admission",
                "send requests",
                "process requests",
                "router queue",
                "route",
                "process assignments",
                "worker queue",
                "prefill",
                "decode");
        Processes.await("every hop in Jaeger", () -> {
            try {
                Set<String> seen = new HashSet<>();
                spans.call().forEach(span -> seen.add(span.path("operationName").asString()));
                return seen.containsAll(wanted);
            } catch (Exception e) {
                throw new AssertionError(e);
            }
        });
        Set<String> ids = new HashSet<>(Set.of("00f067aa0ba902b7"));
        spans.call().forEach(span -> ids.add(span.path("spanID").asString()));
        for (JsonNode span : spans.call()) {
            assertThat(span.path("references"))
                    .as("%s", span.path("operationName"))
                    .isNotEmpty();
            span.path("references")
                    .forEach(reference ->
                            assertThat(ids).contains(reference.path("spanID").asString()));
        }
    }

    @Test
    void jaegerShowsEngineStepsWithLinksToTheRequestsInThem() {
        JsonNode traces = api(
                        "QUERY",
                        "/api/traces?service=millrace-worker&operation=" + encoded("engine step") + "&limit=20")
                .path("data");
        assertThat(traces.size()).isPositive();
        long linked = 0;
        for (JsonNode trace : traces) {
            for (JsonNode span : trace.path("spans")) {
                if (span.path("operationName").asString().equals("engine step")) {
                    for (JsonNode reference : span.path("references")) {
                        linked += reference
                                        .path("traceID")
                                        .asString()
                                        .equals(trace.path("traceID").asString())
                                ? 0
                                : 1;
                    }
                }
            }
        }
        assertThat(linked).isPositive();
    }
}

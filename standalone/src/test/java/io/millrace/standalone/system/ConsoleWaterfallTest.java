package io.millrace.standalone.system;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.millrace.standalone.broker.BrokerSettings;
import io.millrace.standalone.broker.EmbeddedBroker;
import io.millrace.standalone.telemetry.RealTools;
import io.millrace.worker.model.TestModels;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;

/**
 * The console's waterfalls from a real Jaeger, of the real model's answers, in a real Chromium. Leaves the pictures of docs/console.md in
 * {@code target/console-pictures}. Skipped, with the reason, where one of the three is missing.
 */
@Tag("long")
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class ConsoleWaterfallTest {

    private static final String MODEL = "SmolLM2-135M-Instruct";
    private static final String ANSWER = "[...document.querySelectorAll('.answer')].at(-1)";
    private static final String STATE = ANSWER + "?.dataset.state";
    private static final String FALL = ANSWER + ".querySelector('.fall')";
    private static final Path PICTURES = Path.of("target/console-pictures");
    private static final int ENTER = 13;
    private static final int WIDE = 1280;
    private static final int HIGH = 800;

    private final Map<String, Process> workers = new TreeMap<>();
    private Map<String, String> ports = Map.of();
    private Path dir = Path.of("");
    private EmbeddedBroker broker;
    private Processes processes;
    private Chromium chromium;
    private String url = "";

    @BeforeAll
    void start(@TempDir Path temporary) throws Exception {
        dir = temporary;
        Optional<Path> binary = Chromium.find();
        assumeTrue(binary.isPresent(), "no Chromium here");
        RealTools.require("ConsoleWaterfallTest", "jaeger");
        Path model = TestModels.smollm2();
        ports = RealTools.startJaeger(dir);
        broker = EmbeddedBroker.start(BrokerSettings.local(dir.resolve("kafka"), 0));
        processes = new Processes(dir);
        for (String name : List.of("worker-1", "worker-2")) {
            String[] command = {
                "worker", "--kafka", broker.bootstrap(), "--model", MODEL + "=" + model, "--kv-memory", "128MB"
            };
            String[] settings = {"millrace.worker.id=" + name, "millrace.worker.threads=1"};
            workers.put(name, processes.start(name, with(command, settings)));
        }
        int port = Processes.freePort();
        url = "http://127.0.0.1:" + port;
        String[] rest = {"up", "--workers", "0", "--kafka", broker.bootstrap(), "--port", String.valueOf(port)};
        processes.start("rest", with(rest, "millrace.gateway.jaeger=http://127.0.0.1:" + ports.get("QUERY")));
        processes.awaitOutput("rest", "Ready at");
        for (String name : workers.keySet()) {
            processes.awaitOutput(name, "health and metrics");
        }
        SystemUnderTest.awaitServed(url, MODEL);
        Files.createDirectories(PICTURES);
        chromium = Chromium.start(binary.get(), dir.resolve("profile"));
        chromium.size(WIDE, HIGH);
        chromium.open(url);
        chromium.await("both workers", "document.querySelectorAll('.worker[data-state=up]').length === 2");
    }

    @AfterAll
    void stop() throws Exception {
        if (chromium != null) {
            chromium.close();
        }
        if (processes != null) {
            processes.close();
        }
        if (broker != null) {
            broker.close();
        }
        if (Files.exists(dir.resolve("run"))) {
            RealTools.script(ports, "start-jaeger.sh", dir.toString(), "stop");
        }
    }

    private String[] with(String[] command, String... settings) {
        List<String> all = new ArrayList<>(List.of(command));
        all.addAll(List.of("--otlp", "http://127.0.0.1:" + ports.get("OTLP_HTTP")));
        all.addAll(List.of("--set", "millrace.kafka.partitions=4", "--set", "millrace.kafka.slots=4"));
        for (String setting : settings) {
            all.addAll(List.of("--set", setting));
        }
        return all.toArray(String[]::new);
    }

    @Test
    void theWaterfallOfANormalAndOfAFailedOverRequestIsDrawnFromJaeger() throws Exception {
        set("temperature", "0");
        set("max_tokens", "120");
        ask("Why is the sky blue?");
        chromium.await("the end", STATE + " === 'done'");
        List<String> normal = waterfall();
        assertThat(normal)
                .containsSubsequence(
                        "POST /v1/chat/completions",
                        "admission",
                        "send requests",
                        "process requests",
                        "process assignments",
                        "worker queue",
                        "prefill",
                        "decode");
        assertThat(chromium.text(FALL + ".querySelectorAll('[data-failed]').length"))
                .isEqualTo("0");
        picture("console-waterfall.png", FALL);

        chromium.evaluate("document.querySelector('#clear').click()");
        set("max_tokens", "900");
        set("more", "{\"ignore_eos\": true}");
        ask("Tell me a long story of a miller and a river.");
        chromium.await(
                "a part of it",
                STATE + " === 'running' && " + ANSWER + ".querySelector('.text').innerText.length > 700");
        Process lost = workers.get(chromium.text("[...document.querySelectorAll('.worker')]"
                + ".find((w) => w.querySelector('.batch i.on')).querySelector('b').innerText"));
        assertThat(lost).isNotNull();
        Processes.kill(lost);
        chromium.await("the loss", ANSWER + ".querySelector('.failed-over')");
        String kept = chromium.text(ANSWER + ".querySelector('.text').innerText.length");
        chromium.await("more text", ANSWER + ".querySelector('.text').innerText.length > " + kept + " + 100");
        chromium.await("the lost worker", "document.querySelector('.worker[data-state=lost]')");
        picture("console-failover.png", "document.documentElement");
        chromium.await("the end", STATE + " === 'done'");
        List<String> failedOver = waterfall();
        assertThat(failedOver)
                .contains("attempt lost")
                .filteredOn("process assignments"::equals)
                .hasSize(1);
        assertThat(chromium.text(FALL + ".querySelector('[data-failed] .fall-notes').innerText"))
                .contains("attempt 1", "worker_lost");
        assertThat(chromium.text(FALL + ".innerText")).contains("links to attempt lost of attempt 1");
        picture("console-waterfall-failover.png", FALL);
        chromium.scheme("dark");
        picture("console-dark.png", "document.documentElement");
        chromium.size(390, 844);
        chromium.evaluate(FALL + ".scrollIntoView({ block: 'end' })");
        picture("console-phone-dark.png", "document.documentElement");
        chromium.scheme("light");
        chromium.evaluate("document.querySelector('nav [data-to=cluster]').click()");
        picture("console-phone.png", "document.documentElement");
        chromium.size(WIDE, HIGH);
        assertThat(chromium.faults()).isEmpty();
    }

    /** Opens it, and waits until it is whole; the names of its lines. */
    private List<String> waterfall() throws Exception {
        chromium.evaluate(ANSWER + ".querySelector('[aria-expanded]').click()");
        chromium.await(
                "a whole waterfall from Jaeger",
                FALL + ".innerText.includes('from Jaeger') && !" + FALL + ".innerText.includes('not complete')");
        JsonNode names = chromium.evaluate("[..." + FALL + ".querySelectorAll('.fall-name')].map((n) => n.innerText)");
        return names.valueStream().map(JsonNode::stringValue).toList();
    }

    /** Of that element as it is shown. */
    private void picture(String name, String element) throws Exception {
        chromium.evaluate("document.activeElement.blur()");
        chromium.evaluate("new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(() => drawn(0))))");
        JsonNode at = chromium.evaluate("(() => { const e = " + element + "; if (e !== document.documentElement)"
                + " e.scrollIntoView({ block: 'end' }); const r = e.getBoundingClientRect();"
                + " return { x: r.x, y: r.y, width: r.width, height: r.height, scale: 1 }; })()");
        JsonNode taken = chromium.send("Page.captureScreenshot", Map.of("format", "png", "clip", at));
        Files.write(
                PICTURES.resolve(name),
                Base64.getDecoder().decode(taken.get("data").stringValue()));
    }

    private void ask(String text) throws Exception {
        chromium.evaluate("document.querySelector('#prompt').focus()");
        chromium.type(text);
        chromium.press("Enter", ENTER, 0);
        chromium.await("the question's answer", STATE + " === 'running'");
    }

    private void set(String field, String value) throws Exception {
        chromium.evaluate("{ const f = document.getElementById('" + field + "'); f.value = '" + value
                + "'; f.dispatchEvent(new Event('input', { bubbles: true })); }");
    }
}

package io.millrace.standalone.system;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.millrace.standalone.broker.BrokerSettings;
import io.millrace.standalone.broker.EmbeddedBroker;
import java.io.InputStream;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;

/** The console in a real Chromium, over real processes. Skipped, with the reason, where there is no Chromium. */
@Tag("long")
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class ConsoleInBrowserTest {

    private static final int ENTER = 13;
    private static final int ESCAPE = 27;
    private static final int SHIFT = 8;
    private static final int PHONE = 360;
    private static final String ANSWER = "[...document.querySelectorAll('.answer')].at(-1)";
    private static final String TEXT = ANSWER + ".querySelector('.text').innerText";
    private static final String STATE = ANSWER + "?.dataset.state";
    private static final String[] SMALL = {
        "--set",
        "millrace.kafka.partitions=4",
        "--set",
        "millrace.kafka.slots=4",
        "--set",
        "millrace.worker.mock-step=25ms"
    };

    private EmbeddedBroker broker;
    private Processes processes;
    private Chromium chromium;
    private String url;

    @BeforeAll
    void start(@TempDir Path dir) throws Exception {
        Optional<Path> binary = Chromium.find();
        assumeTrue(
                binary.isPresent(),
                "no Chromium here: install the package chromium, or name one in the environment variable CHROMIUM");
        int port = Processes.freePort();
        url = "http://127.0.0.1:" + port;
        broker = EmbeddedBroker.start(BrokerSettings.local(dir.resolve("kafka"), 0));
        processes = new Processes(dir);
        worker("worker-1", "mock:alpha");
        String[] rest = {"up", "--workers", "0", "--kafka", broker.bootstrap(), "--port", String.valueOf(port)};
        processes.start("rest", with(rest));
        processes.awaitOutput("rest", "Ready at");
        SystemUnderTest.awaitServed(url, "alpha");
        chromium = Chromium.start(binary.get(), dir.resolve("profile"));
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
    }

    @BeforeEach
    void open() throws Exception {
        chromium.open(url);
        chromium.evaluate("document.querySelector('#clear').click(); localStorage.clear()");
        chromium.open(url);
        chromium.await("an empty chat", "document.querySelector('.welcome')");
        set("more", "{\"ignore_eos\": true}");
    }

    @AfterEach
    void nothingFailedInThePage() {
        assertThat(chromium.faults()).isEmpty();
    }

    @Test
    void anAnswerStreamsAndItsTimesAreShown() throws Exception {
        set("max_tokens", "80");
        chromium.evaluate("document.querySelector('#prompt').focus()");
        chromium.type("first line");
        chromium.press("Enter", ENTER, SHIFT);
        chromium.type("second line");
        chromium.press("Enter", ENTER, 0);
        chromium.await("the first text", STATE + " === 'running' && " + TEXT);
        String part = chromium.text(TEXT + ".length");
        chromium.await("more text while it runs", STATE + " === 'running' && " + TEXT + ".length > " + part);
        chromium.await("the end", STATE + " === 'done'");
        assertThat(chromium.text("document.querySelector('.user .said').innerText"))
                .isEqualTo("first line\nsecond line");
        assertThat(chromium.text(ANSWER + ".querySelector('.figures-line').innerText"))
                .containsPattern("[0-9.]+ (ms|s) to first token")
                .containsPattern("[0-9.]+ tokens/s")
                .contains("80 tokens", "in the prompt", "longest pause");
        assertThat(chromium.text(ANSWER + ".querySelector('.notes').innerText"))
                .contains("cut at max tokens", "chatcmpl-", "trace ");
        assertThat(chromium.text("document.activeElement.id")).isEqualTo("prompt");
    }

    @Test
    void escapeStopsTheAnswerHereAndAtTheServer() throws Exception {
        set("max_tokens", "3000");
        ask("a long one");
        chromium.await("the first text", STATE + " === 'running' && " + TEXT);
        chromium.press("Escape", ESCAPE, 0);
        chromium.await("the stop", STATE + " === 'stopped' && document.querySelector('#stop').hidden");
        String id = chromium.text(ANSWER + ".querySelector('.notes code').innerText");
        HttpResponse<String> whole = SystemUnderTest.fetch(url + "/v1/chat/completions/" + id + "?stream=true");
        assertThat(whole.body())
                .as("the stream's end")
                .contains("cancelled")
                .doesNotContain("\"finish_reason\":\"length\"");
    }

    @Test
    void aReloadInTheMiddleLosesNothing() throws Exception {
        set("seed", "7");
        set("temperature", "0");
        set("max_tokens", "160");
        ask("the same again");
        chromium.await("some text", STATE + " === 'running' && " + TEXT + ".length > 40");
        chromium.reload();
        chromium.await("the answer there again", STATE + " === 'running' && " + TEXT);
        chromium.await("the end", STATE + " === 'done'");
        assertThat(chromium.text(ANSWER + ".querySelector('.figures-line').innerText"))
                .contains("160 tokens");
        String reloaded = chromium.text(TEXT);
        chromium.evaluate("document.querySelector('#again').click()");
        chromium.await(
                "the undisturbed answer", STATE + " === 'done' && document.querySelector('#send').hidden === false");
        assertThat(reloaded).isNotBlank().isEqualTo(chromium.text(TEXT));
        assertThat(chromium.text("document.querySelectorAll('.answer').length")).isEqualTo("1");
    }

    @Test
    void theAnswerOfAKilledWorkerGoesOnAndThePageTellsIt() throws Exception {
        Process lost = worker("worker-2", "mock:beta");
        SystemUnderTest.awaitServed(url, "beta");
        chromium.open(url);
        chromium.await("the model", "[...document.querySelector('#model').options].some((o) => o.value === 'beta')");
        chromium.evaluate("document.querySelector('#model').value = 'beta'");
        set("more", "{\"ignore_eos\": true}");
        set("seed", "7");
        set("temperature", "0");
        set("max_tokens", "1500");
        ask("survive");
        chromium.await("some text", STATE + " === 'running' && " + TEXT + ".length > 40");
        worker("worker-3", "mock:beta");
        chromium.await("both workers", "document.querySelectorAll('.worker[data-state=up]').length === 3");
        assertThat(chromium.text(STATE)).as("it still runs").isEqualTo("running");
        Processes.kill(lost);
        chromium.await("the loss", "document.querySelector('.worker[data-state=lost]')");
        chromium.await("the end", STATE + " === 'done'");
        assertThat(chromium.text("document.querySelector('#failovers').innerText"))
                .contains("attempt 2");
        assertThat(chromium.text(ANSWER + ".querySelector('.notes').innerText")).contains("→");
        String disturbed = chromium.text(TEXT);
        chromium.evaluate("document.querySelector('#again').click()");
        chromium.await(
                "the undisturbed answer", STATE + " === 'done' && document.querySelector('#send').hidden === false");
        assertThat(disturbed).isNotBlank().isEqualTo(chromium.text(TEXT));
    }

    @Test
    void whatAModelWritesIsTextAndNeverMarkup() throws Exception {
        String shown = "import('/console/markdown.js').then((m) => { const e = document.createElement('div');"
                + " m.show(e, %s); return e.innerHTML; })";
        assertThat(chromium.evaluate(shown.formatted("'<img src=x onerror=alert(1)> **b** `c<d`'"))
                        .stringValue())
                .isEqualTo("<p>&lt;img src=x onerror=alert(1)&gt; <strong>b</strong> <code>c&lt;d</code></p>");
        assertThat(chromium.evaluate(shown.formatted("'[x](javascript:alert(1)) [y](https://a.example/)'"))
                        .stringValue())
                .isEqualTo("<p>[x](javascript:alert(1)) <a href=\"https://a.example/\" target=\"_blank\""
                        + " rel=\"noopener noreferrer nofollow\">y</a></p>");
        assertThat(chromium.evaluate(shown.formatted("'- a\\n- b\\n  - c\\n\\n```js\\nx < 1'"))
                        .stringValue())
                .startsWith("<ul><li><span>a</span></li><li><span>b</span><ul><li><span>c</span></li></ul></li></ul>")
                .contains("<code>x &lt; 1</code>");
    }

    @Test
    void axeFindsNothingInAnyViewSchemeOrWidth() throws Exception {
        set("max_tokens", "30");
        ask("for axe");
        chromium.await("the end", STATE + " === 'done'");
        chromium.await("a worker", "document.querySelector('.worker')");
        chromium.evaluate(ANSWER + ".querySelector('[aria-expanded]').click()");
        chromium.await(
                "its waterfall, from the journal", ANSWER + ".querySelector('.fall').innerText.includes('decode')");
        for (String scheme : List.of("light", "dark")) {
            chromium.scheme(scheme);
            chromium.size(1440, 900);
            assertThat(violations()).as(scheme).isEmpty();
            chromium.size(PHONE, 740);
            for (String view : List.of("chat", "settings", "cluster")) {
                chromium.evaluate("document.querySelector('nav [data-to=" + view + "]').click()");
                assertThat(violations()).as("%s, %s on a phone", scheme, view).isEmpty();
                assertThat(chromium.evaluate("document.documentElement.scrollWidth")
                                .intValue())
                        .as("%s has no horizontal scroll", view)
                        .isLessThanOrEqualTo(PHONE);
            }
        }
        chromium.scheme("light");
        chromium.size(1440, 900);
    }

    private List<String> violations() throws Exception {
        try (InputStream script = ConsoleInBrowserTest.class.getResourceAsStream("/axe.min.js")) {
            chromium.evaluate(new String(script.readAllBytes(), StandardCharsets.UTF_8) + "; 0");
        }
        JsonNode found = chromium.evaluate("axe.run().then((r) => r.violations.map((v) =>"
                + " v.id + ': ' + v.nodes.map((n) => n.target.join(' ')).join(', ')))");
        return found.valueStream().map(JsonNode::stringValue).toList();
    }

    private void ask(String text) throws Exception {
        chromium.evaluate("document.querySelector('#prompt').focus()");
        chromium.type(text);
        chromium.press("Enter", ENTER, 0);
    }

    private void set(String field, String value) throws Exception {
        chromium.evaluate("{ const f = document.getElementById('" + field + "'); f.value = '" + value
                + "'; f.dispatchEvent(new Event('input', { bubbles: true })); }");
    }

    private Process worker(String name, String model) throws Exception {
        Process process = processes.start(name, with("worker", "--kafka", broker.bootstrap(), "--model", model));
        processes.awaitOutput(name, "health and metrics");
        return process;
    }

    private static String[] with(String... command) {
        String[] all = java.util.Arrays.copyOf(command, command.length + SMALL.length);
        System.arraycopy(SMALL, 0, all, command.length, SMALL.length);
        return all;
    }
}

package io.millrace.standalone.system;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.standalone.parts.Role;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/**
 * Clients in other languages, and a browser, against the real model behind a gateway that asks for keys. They are told its address and
 * a key, and nothing else.
 */
@Tag("long")
@Timeout(240)
class ClientProgramsTest {

    private static final String KEY = "sk-of-the-clients";

    @TempDir
    static Path dir;

    private static BrowserPage page;
    private static SystemUnderTest system;
    private static SystemUnderTest gateway;
    private static ClientPrograms programs;

    @BeforeAll
    static void start() throws Exception {
        page = new BrowserPage();
        system = SystemUnderTest.start(
                dir,
                Map.of(
                        "millrace.worker.models[0]",
                        RealModel.spec(),
                        "millrace.worker.max-model-len",
                        1024,
                        "millrace.worker.kv-memory",
                        "256MB"),
                RealModel.NAME);
        gateway = system.another(
                Role.GATEWAY,
                Map.of("millrace.gateway.api-keys." + KEY, "tester", "millrace.gateway.cors-origins", page.origin()));
        SystemUnderTest.awaitServed(gateway.url(), RealModel.NAME, "Authorization", "Bearer " + KEY);
        programs = ClientPrograms.install(Map.of(
                "OPENAI_BASE_URL",
                gateway.url() + "/v1",
                "OPENAI_API_KEY",
                KEY,
                "ANTHROPIC_BASE_URL",
                gateway.url(),
                "ANTHROPIC_API_KEY",
                KEY,
                "MILLRACE_SOCKET",
                socket(),
                "MILLRACE_MODEL",
                RealModel.NAME));
    }

    @AfterAll
    static void stop() {
        if (gateway != null) {
            gateway.close();
        }
        if (system != null) {
            system.close();
        }
        page.close();
    }

    private static String socket() {
        return gateway.url().replaceFirst("http", "ws") + "/v1/responses";
    }

    private static Map<String, String> allOf(String... checks) {
        Map<String, String> expected = new LinkedHashMap<>();
        for (String check : checks) {
            expected.put(check, "ok");
        }
        return expected;
    }

    @Test
    void openaiOfNpm() throws Exception {
        assertThat(programs.node("openai.mjs"))
                .isEqualTo(allOf(
                        "models",
                        "chat",
                        "stream",
                        "a stream left early",
                        "tools",
                        "streamed tools",
                        "schema",
                        "responses",
                        "responses with tools and schema",
                        "responses on a WebSocket",
                        "completions",
                        "files",
                        "errors"));
    }

    @Test
    void openaiOfPyPi() throws Exception {
        assertThat(programs.python("openai_client.py"))
                .isEqualTo(allOf(
                        "models",
                        "chat",
                        "stream",
                        "eight async streams",
                        "tools",
                        "streamed tools",
                        "schema",
                        "responses",
                        "responses with tools and schema",
                        "responses on a WebSocket",
                        "completions",
                        "files and batches",
                        "errors"));
    }

    private static Map<String, String> anthropic() {
        return allOf("models", "messages", "stream", "tools", "streamed tools", "schema", "counted tokens", "errors");
    }

    @Test
    void anthropicOfNpm() throws Exception {
        assertThat(programs.node("anthropic.mjs")).isEqualTo(anthropic());
    }

    @Test
    void anthropicOfPyPi() throws Exception {
        assertThat(programs.python("anthropic_client.py")).isEqualTo(anthropic());
    }

    private static Map<String, String> webSocket() {
        return allOf(
                "a sub-protocol is chosen",
                "stream",
                "responses in turn",
                "an error leaves the connection",
                "close",
                "a wrong key");
    }

    @Test
    void webSocketOfNode() throws Exception {
        assertThat(programs.node("websocket.mjs")).isEqualTo(webSocket());
    }

    @Test
    void webSocketOfABrowsersPage() throws Exception {
        assertThat(page.open(dir.resolve("browser"), socket(), KEY, RealModel.NAME))
                .isEqualTo(webSocket());
    }
}

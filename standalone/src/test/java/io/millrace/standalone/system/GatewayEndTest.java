package io.millrace.standalone.system;

import static org.assertj.core.api.Assertions.assertThat;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.read.ListAppender;
import io.millrace.standalone.parts.Role;
import java.io.BufferedReader;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;
import org.slf4j.LoggerFactory;

/** A gateway that is told to end. */
@ExtendWith(SharedSystem.class)
@Timeout(60)
class GatewayEndTest {

    @Test
    void whoLooksAtTheClusterNeitherHoldsItUpNorMakesItComplain(SystemUnderTest system) throws Exception {
        SystemUnderTest gateway = system.another(Role.GATEWAY, Map.of("server.port", 0));
        var warnings = new ListAppender<ILoggingEvent>();
        Logger root = (Logger) LoggerFactory.getLogger(org.slf4j.Logger.ROOT_LOGGER_NAME);
        try (HttpClient browser = HttpClient.newHttpClient()) {
            HttpResponse<InputStream> page = browser.send(
                    HttpRequest.newBuilder(URI.create(gateway.url() + "/cluster"))
                            .header("Accept", "text/event-stream")
                            .build(),
                    HttpResponse.BodyHandlers.ofInputStream());
            try (var events = new BufferedReader(new InputStreamReader(page.body(), StandardCharsets.UTF_8))) {
                assertThat(events.readLine()).startsWith("data:{");
                warnings.start();
                root.addAppender(warnings);

                CompletableFuture.runAsync(gateway::close).get(20, TimeUnit.SECONDS);

                // The stream ends as a whole answer does, and is not cut.
                assertThat(events.lines()).allMatch(line -> line.isEmpty() || line.startsWith("data:{"));
            }
        } finally {
            root.detachAppender(warnings);
            warnings.stop();
        }
        assertThat(warnings.list)
                .filteredOn(event -> event.getLevel().isGreaterOrEqual(Level.WARN))
                .isEmpty();
    }
}

package io.millrace.standalone.system;

import static org.assertj.core.api.Assertions.assertThat;

import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.WebSocket;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;

/** A WebSocket of {@code /v1/responses}, as the JDK has it. */
final class Socket implements WebSocket.Listener, AutoCloseable {

    private final LinkedBlockingQueue<String> messages = new LinkedBlockingQueue<>();
    private final StringBuilder partial = new StringBuilder();
    private final HttpClient http = HttpClient.newHttpClient();
    private final WebSocket socket;

    Socket(String url, String... headers) throws Exception {
        WebSocket.Builder builder = http.newWebSocketBuilder();
        for (int i = 0; i < headers.length; i += 2) {
            builder.header(headers[i], headers[i + 1]);
        }
        socket = builder.buildAsync(URI.create(url.replaceFirst("http", "ws") + "/v1/responses"), this)
                .get(20, TimeUnit.SECONDS);
    }

    @Override
    public @Nullable CompletionStage<?> onText(WebSocket from, CharSequence data, boolean last) {
        partial.append(data);
        if (last) {
            messages.add(partial.toString());
            partial.setLength(0);
        }
        from.request(1);
        return null;
    }

    void send(String message) {
        socket.sendText(message, true).join();
    }

    /** Messages up to and with the first such one. */
    List<String> until(Predicate<String> last) throws InterruptedException {
        List<String> all = new ArrayList<>();
        while (all.isEmpty() || !last.test(all.getLast())) {
            String next = messages.poll(30, TimeUnit.SECONDS);
            assertThat(next).as("a message after %s", all).isNotNull();
            all.add(String.valueOf(next));
        }
        return all;
    }

    /** As a broken connection would. */
    @Override
    public void close() {
        socket.abort();
        http.shutdownNow();
    }
}

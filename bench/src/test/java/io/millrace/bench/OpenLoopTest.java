package io.millrace.bench;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.net.httpserver.HttpServer;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

class OpenLoopTest {

    private static final long MS = 1_000_000;

    @Test
    void arrivalsDoNotWaitForAnswers() throws Exception {
        CountDownLatch allHere = new CountDownLatch(20);
        LoadResult load = new LoadResult(1_000, 100);

        OpenLoop.run(20, 1_000, 1, 30, load, i -> {
            allHere.countDown();
            try {
                return allHere.await(20, TimeUnit.SECONDS)
                        ? new StreamTimes(true, "", MS, new long[] {MS}, 2 * MS, 2)
                        : StreamTimes.failed("the others did not come", MS);
            } catch (InterruptedException e) {
                return StreamTimes.failed("interrupted", MS);
            }
        });

        assertThat(load.ok()).isEqualTo(20);
        assertThat(load.errors()).isEmpty();
    }

    @Test
    void goodputCountsOnlyAnswersWithinBothLimits() {
        LoadResult load = new LoadResult(100, 10);
        load.add(new StreamTimes(true, "", 50 * MS, new long[] {8 * MS, 8 * MS}, 66 * MS, 3));
        load.add(new StreamTimes(true, "", 150 * MS, new long[] {8 * MS}, 158 * MS, 2));
        load.add(new StreamTimes(true, "", 50 * MS, new long[] {30 * MS}, 80 * MS, 2));
        load.add(StreamTimes.failed("status 503", MS));

        assertThat(load.good()).isEqualTo(1);
        assertThat(load.ok()).isEqualTo(3);
        assertThat(load.failed()).isEqualTo(1);
        assertThat(load.tokens()).isEqualTo(7);
    }

    @Test
    void aStreamIsReadToItsEndAndOneThatIsCutOffFails() throws Exception {
        HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.setExecutor(Executors.newVirtualThreadPerTaskExecutor());
        server.createContext("/v1/chat/completions", exchange -> {
            String request = new String(exchange.getRequestBody().readAllBytes(), StandardCharsets.UTF_8);
            String chunk = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";
            String end = "data: {\"choices\":[],\"usage\":{\"completion_tokens\":5}}\n\ndata: [DONE]\n\n";
            byte[] body = (chunk + chunk + (request.contains("whole") ? end : "")).getBytes(StandardCharsets.UTF_8);
            exchange.sendResponseHeaders(200, body.length);
            exchange.getResponseBody().write(body);
            exchange.close();
        });
        server.start();
        try {
            var stream =
                    new OpenAiStream("http://127.0.0.1:" + server.getAddress().getPort() + "/v1", "m", null);

            StreamTimes whole = stream.run("whole", 5, 1);
            assertThat(whole.ok()).as(whole.error()).isTrue();
            assertThat(whole.tokens()).isEqualTo(5);
            assertThat(whole.gapNanos()).hasSize(1);
            assertThat(stream.run("cut", 5, 1).error()).isEqualTo("cut off");
        } finally {
            server.stop(0);
        }
    }
}

package io.millrace.gateway.edge;

import static org.assertj.core.api.Assertions.assertThat;

import io.netty.channel.ChannelDuplexHandler;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelPromise;
import io.netty.handler.codec.http.LastHttpContent;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Locale;
import java.util.Objects;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;
import reactor.core.scheduler.Schedulers;
import reactor.netty.DisposableServer;
import reactor.netty.NettyPipeline;
import reactor.netty.http.server.HttpServer;

/**
 * A client that has its answer may send the next request before the server has done with the last: what it writes is told as written
 * late here, as happens on a machine that is busy.
 */
@Timeout(60)
class RefusalsTest {

    private static final Duration LATE = Duration.ofMillis(100);
    private static final int PATIENCE_MS = 10_000;

    private final Queue<Integer> refused = new ConcurrentLinkedQueue<>();
    private DisposableServer server;

    private static final class Late extends ChannelDuplexHandler {

        @Override
        public void write(ChannelHandlerContext context, Object message, ChannelPromise promise) {
            if (!(message instanceof LastHttpContent)) {
                context.write(message, promise);
                return;
            }
            ChannelPromise told = promise.unvoid();
            context.write(message)
                    .addListener(written -> context.executor()
                            .schedule(() -> told.trySuccess(), LATE.toMillis(), TimeUnit.MILLISECONDS));
        }
    }

    @BeforeEach
    void start() {
        HttpServer plain = HttpServer.create().host("127.0.0.1").port(0);
        server = plain.doOnChannelInit((observer, channel, address) -> {
                    Refusals.addTo(channel, plain.configuration().decoder(), refused::add);
                    channel.pipeline().addAfter(NettyPipeline.HttpCodec, "late", new Late());
                })
                .handle((request, response) -> {
                    Flux<byte[]> body = request.receive().asByteArray();
                    Flux<byte[]> read = switch (request.uri()) {
                        case "/slowly" -> body.limitRate(1).delayElements(Duration.ofMillis(1), Schedulers.single());
                        case "/one" -> body.limitRate(1);
                        case "/begin" -> body.take(1);
                        default -> body;
                    };
                    return read.map(bytes -> bytes.length)
                            .reduce(0, Integer::sum)
                            .flatMap(length -> response.sendString(Mono.just("<" + length + ">"))
                                    .then());
                })
                .bindNow();
    }

    @AfterEach
    void stop() {
        server.disposeNow();
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "GET / HTTP/1.1\r\nX y: z\r\n\r\n",
                "GET / HTTP/2.0\r\n\r\n",
                "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                "\0\r\n\r\n"
            })
    void aMalformedRequestRightBehindAnAnswerIsRefused(String malformed) throws Exception {
        try (Client client = new Client(server.port())) {
            assertThat(client.ask(get("/", ""))).isEqualTo("200 <0>");
            assertThat(client.ask(malformed))
                    .startsWith("400 {")
                    .contains("malformed_http", "MR-GW-018")
                    .doesNotContain("..");
            assertThat(client.ended()).isTrue();
        }
        assertThat(refused).containsExactly(400);
    }

    @Test
    void whatIsTooLongRightBehindAnAnswerIsRefusedByItsName() throws Exception {
        try (Client client = new Client(server.port())) {
            assertThat(client.ask(get("/", ""))).isEqualTo("200 <0>");
            assertThat(client.ask(get("/" + "x".repeat(5_000), "")))
                    .startsWith("414 {")
                    .contains("MR-GW-016");
        }
        try (Client client = new Client(server.port())) {
            assertThat(client.ask(get("/", ""))).isEqualTo("200 <0>");
            assertThat(client.ask(get("/", "X: " + "y".repeat(9_000) + "\r\n")))
                    .startsWith("431 {")
                    .contains("MR-GW-017");
        }
        assertThat(refused).containsExactly(414, 431);
    }

    @Test
    void aMalformedRequestBehindOneThatIsUnderWayWaitsForThatOnesAnswer() throws Exception {
        try (Client client = new Client(server.port())) {
            assertThat(client.ask(get("/", "") + get("/", "X y: z\r\n"))).isEqualTo("200 <0>");
            assertThat(client.answer()).startsWith("400 {").contains("malformed_http");
            assertThat(client.ended()).isTrue();
        }
        assertThat(refused).containsExactly(400);
    }

    @ParameterizedTest
    @ValueSource(strings = {"/", "/one", "/slowly", "/begin"})
    void aRequestRightBehindAnAnswerIsAnsweredHoweverLargeItIs(String target) throws Exception {
        for (int bytes : new int[] {0, 1_000, 100_000, 1_000_000}) {
            try (Client client = new Client(server.port())) {
                assertThat(client.ask(get("/", ""))).isEqualTo("200 <0>");
                for (int i = 0; i < 2; i++) {
                    assertThat(client.ask(post(target, "x".repeat(bytes))))
                            .startsWith("200 <")
                            .endsWith(target.equals("/begin") ? ">" : "<" + bytes + ">");
                }
            }
        }
        assertThat(refused).isEmpty();
    }

    private static String get(String target, String header) {
        return "GET " + target + " HTTP/1.1\r\nHost: x\r\n" + header + "\r\n";
    }

    private static String post(String target, String body) {
        return "POST " + target + " HTTP/1.1\r\nHost: x\r\nContent-Length: " + body.length() + "\r\n\r\n" + body;
    }

    private static final class Client implements AutoCloseable {

        private final Socket socket = new Socket();
        private final BufferedReader in;

        Client(int port) throws IOException {
            socket.connect(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), PATIENCE_MS);
            socket.setSoTimeout(PATIENCE_MS);
            socket.setTcpNoDelay(true);
            in = new BufferedReader(new InputStreamReader(socket.getInputStream(), StandardCharsets.ISO_8859_1));
        }

        String ask(String request) throws IOException {
            socket.getOutputStream().write(request.getBytes(StandardCharsets.ISO_8859_1));
            return answer();
        }

        /** Status and body. */
        String answer() throws IOException {
            String status = line().split(" ")[1];
            int length = -1;
            boolean chunked = false;
            for (String line = line(); !line.isEmpty(); line = line()) {
                String header = line.toLowerCase(Locale.ROOT);
                chunked |= header.equals("transfer-encoding: chunked");
                length = header.startsWith("content-length: ") ? Integer.parseInt(header.substring(16)) : length;
            }
            var body = new StringBuilder();
            if (chunked) {
                for (int count = Integer.parseInt(line(), 16); count > 0; count = Integer.parseInt(line(), 16)) {
                    body.append(letters(count));
                    line();
                }
                line();
            } else {
                body.append(letters(length));
            }
            return status + " " + body;
        }

        private String line() throws IOException {
            return Objects.requireNonNull(in.readLine(), "the connection has ended");
        }

        private String letters(int count) throws IOException {
            var letters = new char[count];
            for (int done = 0; done < count; ) {
                int more = in.read(letters, done, count - done);
                if (more < 0) {
                    throw new IOException("the connection has ended within a body");
                }
                done += more;
            }
            return new String(letters);
        }

        boolean ended() throws IOException {
            return in.read() < 0;
        }

        @Override
        public void close() throws IOException {
            socket.close();
        }
    }
}

package io.millrace.standalone.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.standalone.cli.ServedModels.Served;
import io.millrace.standalone.config.BrokerProperties;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.springframework.util.unit.DataSize;

class UpCommandTest {

    private static Map<String, String> local(String host, String advertised) {
        return UpCommand.local(new BrokerProperties(host, 9092, advertised, DataSize.ofMegabytes(1), 1, "", ""));
    }

    @Test
    void workersShowThemselvesToOtherMachinesOnlyWhenTheBrokerDoes() {
        Map<String, String> loopback = Map.of("millrace.worker.liveness-host", "127.0.0.1");
        assertThat(local("127.0.0.1", "")).isEqualTo(loopback);
        assertThat(local("0.0.0.0", "")).as("its clients are told 127.0.0.1").isEqualTo(loopback);
        assertThat(local("0.0.0.0", "127.0.0.1")).isEqualTo(loopback);
        assertThat(local("0.0.0.0", "kafka.example")).isEmpty();
        assertThat(local("10.0.0.7", "")).isEmpty();
    }

    @Test
    void theCallThatIsShownIsOneThatAModelServed() {
        Served scores = new Served("s", List.of("score"));
        Served embeds = new Served("e", List.of("embed", "score"));
        Served chats = new Served("c", List.of("generate"));
        assertThat(UpCommand.example("u", List.of(scores, embeds, chats), false))
                .contains("u/v1/chat/completions", "\"model\":\"c\"")
                .doesNotContain("Authorization");
        assertThat(UpCommand.example("u", List.of(embeds, scores), false))
                .contains("u/v1/embeddings", "\"model\":\"e\"");
        assertThat(UpCommand.example("u", List.of(scores), true))
                .contains("u/v1/rerank", "\"model\":\"s\"", "Bearer $MILLRACE_API_KEY");
        assertThat(UpCommand.example("u", List.of(), false))
                .isEqualTo("curl u/v1/models -H \"Authorization: Bearer $MILLRACE_API_KEY\"");
    }

    @Test
    void aFreePortCanBeListenedOn() throws IOException {
        int port = UpCommand.freePort("127.0.0.1");
        try (ServerSocket server = new ServerSocket()) {
            server.bind(new InetSocketAddress("127.0.0.1", port));
            assertThat(server.getLocalPort()).isEqualTo(port).isPositive();
        }
    }
}

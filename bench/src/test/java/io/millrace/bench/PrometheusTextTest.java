package io.millrace.bench;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.sun.net.httpserver.HttpServer;
import io.millrace.shared.error.MillraceException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.http.HttpClient;
import org.junit.jupiter.api.Test;

class PrometheusTextTest {

    @Test
    void aMetricIsSummedOverItsLabelsAndNotWithOthersThatBeginAlike() {
        var metrics =
                new PrometheusText("# HELP hits_total x\nhits_total{model=\"a\"} 3.0\nhits_total{model=\"b\"} 4.5\n"
                        + "hits_total_more{model=\"b\"} 100.0\nplain 2.0\n");
        assertThat(metrics.sum("hits_total")).isEqualTo(7.5);
        assertThat(metrics.sum("plain")).isEqualTo(2);
        assertThatThrownBy(() -> metrics.sum("misses_total"))
                .isInstanceOf(MillraceException.class)
                .hasMessageContaining("misses_total");
    }

    @Test
    void aServerWithoutMetricsIsSaidAndNotTakenForZero() throws Exception {
        HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.start();
        try (HttpClient http = HttpClient.newHttpClient()) {
            String url = "http://127.0.0.1:" + server.getAddress().getPort();
            assertThatThrownBy(() -> PrometheusText.read(http, PrometheusText.at(url)))
                    .isInstanceOf(MillraceException.class)
                    .hasMessageContaining("404");
        } finally {
            server.stop(0);
        }
    }
}

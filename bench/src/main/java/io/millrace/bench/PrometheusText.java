package io.millrace.bench;

import io.millrace.shared.error.MillraceException;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;

/** Metrics as a server of ours tells them. */
record PrometheusText(String text) {

    private static final String PATH = "/actuator/prometheus";

    /** Where the metrics are of the server at that address. */
    static URI at(String url) {
        return URI.create(url + PATH);
    }

    /** Asks for them; MR-BENCH-003 when there are none. */
    static PrometheusText read(HttpClient http, URI metrics) throws IOException, InterruptedException {
        HttpResponse<String> response =
                http.send(HttpRequest.newBuilder(metrics).build(), HttpResponse.BodyHandlers.ofString());
        if (response.statusCode() != 200) {
            throw new MillraceException(
                    "MR-BENCH-003", metrics + " answered " + response.statusCode() + " instead of metrics.");
        }
        return new PrometheusText(response.body());
    }

    /** Sum over all labels; MR-BENCH-003 when no such metric is told. */
    double sum(String name) {
        return text.lines()
                .filter(line -> line.startsWith(name + "{") || line.startsWith(name + " "))
                .mapToDouble(line -> Double.parseDouble(line.substring(line.lastIndexOf(' ') + 1)))
                .reduce(Double::sum)
                .orElseThrow(() -> new MillraceException("MR-BENCH-003", "No metric " + name + " is told."));
    }
}

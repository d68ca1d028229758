package io.millrace.gateway.trace;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.gateway.trace.Waterfall.Line;
import org.junit.jupiter.api.Test;
import tools.jackson.databind.json.JsonMapper;

/** Spans in the form of Jaeger's query API. */
class JaegerSpansTest {

    private static String span(
            String id, String parent, String name, String process, int start, int took, String more) {
        String child = parent.isEmpty() ? "" : "{'refType':'CHILD_OF','traceID':'t','spanID':'%s'}".formatted(parent);
        return "{'spanID':'%s','operationName':'%s','processID':'%s','startTime':%d,'duration':%d,%s}"
                .formatted(id, name, process, start, took, more.replace("REFS", child));
    }

    private static Waterfall read(String... spans) {
        String answer = "{'data':[{'traceID':'t','spans':[" + String.join(",", spans)
                + "],'processes':{'g':{'serviceName':'millrace-gateway'},'r':{'serviceName':'millrace-router'},"
                + "'w':{'serviceName':'millrace-worker'}}}]}";
        return JaegerSpans.read(JsonMapper.shared().readTree(answer.replace('\'', '"')));
    }

    private static String tags(String... keysAndValues) {
        StringBuilder all = new StringBuilder("'references':[REFS],'tags':[");
        for (int i = 0; i < keysAndValues.length; i += 2) {
            all.append(i > 0 ? "," : "")
                    .append("{'key':'%s','type':'string','value':'%s'}"
                            .formatted(keysAndValues[i], keysAndValues[i + 1]));
        }
        return all.append("]").toString();
    }

    @Test
    void spansBecomeLinesDepthFirstAsTheyBegan() {
        // The client's own span is not there: its child is the outermost.
        Waterfall read = read(
                span("3", "1", "process requests", "r", 1_020, 5, tags()),
                span(
                        "1",
                        "client",
                        "POST /v1/chat/completions",
                        "g",
                        1_000,
                        900,
                        tags("http.response.status_code", "200")),
                span("4", "3", "route", "r", 1_022, 2, tags()),
                span("2", "1", "admission", "g", 1_001, 3, tags()));

        assertThat(read.lines().stream().map(line -> line.depth() + " " + line.part() + " " + line.name()))
                .containsExactly(
                        "0 gateway POST /v1/chat/completions",
                        "1 gateway admission",
                        "1 router process requests",
                        "2 router route");
        Line route = read.lines().getLast();
        assertThat(route.startUs()).isEqualTo(22);
        assertThat(route.tookUs()).isEqualTo(2);
        assertThat(read.lines().getFirst().notes()).containsExactly("status 200");
        assertThat(read.complete()).isTrue();
        assertThat(read.source()).isEqualTo("jaeger");
    }

    @Test
    void aLostAttemptIsMarkedAndTheOneAfterItLinksToIt() {
        Waterfall read = read(
                span("1", "", "POST /v1/chat/completions", "g", 0, 900, tags()),
                span(
                        "2",
                        "1",
                        "attempt lost",
                        "r",
                        10,
                        100,
                        tags("millrace.attempt", "1", "millrace.worker", "worker-1", "error.type", "worker_lost")),
                span(
                        "3",
                        "1",
                        "process assignments",
                        "w",
                        200,
                        600,
                        "'tags':[{'key':'millrace.attempt','value':2}],'references':[REFS,"
                                + "{'refType':'FOLLOWS_FROM','traceID':'t','spanID':'2'}]"));

        Line lost = read.lines().get(1);
        assertThat(lost.failed()).isTrue();
        assertThat(lost.notes()).containsExactly("attempt 1", "on worker-1");
        assertThat(read.lines().get(2).failed()).isFalse();
        assertThat(read.lines().get(2).notes()).containsExactly("attempt 2", "links to attempt lost of attempt 1");
    }

    @Test
    void aTraceWithoutItsOutermostSpanIsNotComplete() {
        Waterfall read = read(
                span("2", "1", "process requests", "r", 10, 5, tags()), span("3", "1", "prefill", "w", 20, 5, tags()));

        assertThat(read.complete()).isFalse();
        assertThat(read.lines()).hasSize(2);
        assertThat(read().lines()).isEmpty();
    }
}

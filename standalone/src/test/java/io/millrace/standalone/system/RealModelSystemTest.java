package io.millrace.standalone.system;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.standalone.broker.BrokerSettings;
import io.millrace.standalone.broker.EmbeddedBroker;
import io.millrace.standalone.system.RealModel.Answer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.node.ObjectNode;

/** The whole system with the real model and the engine that this machine gets: two workers, a router and a gateway over a real broker. */
class RealModelSystemTest {

    private static final int STREAMS = 16;
    private static final int STREAM_TOKENS = 48;
    private static final String[] SMALL = {
        "--set", "millrace.kafka.partitions=4",
        "--set", "millrace.kafka.slots=4",
        "--set", "millrace.worker.threads=1",
        "--set", "millrace.worker.max-model-len=512",
        "--set", "millrace.worker.kv-memory=256MB",
        "--set", "millrace.router.detach-grace=120s"
    };

    @TempDir
    Path dir;

    @Test
    @Timeout(120)
    void tenAtOnceAnswerByteForByteAsEachAlone() throws Exception {
        assertTogetherAsAlone(10, 8, 2);
    }

    @Test
    @Tag("long")
    @Timeout(300)
    void thirtyTwoAtOnceAnswerByteForByteAsEachAlone() throws Exception {
        assertTogetherAsAlone(32, 24, 8);
    }

    private void assertTogetherAsAlone(int count, int tokensMin, int tokensStep) throws Exception {
        String spec = RealModel.spec();
        Map<String, Object> properties = Map.of(
                "millrace.worker.count",
                2,
                "millrace.worker.models[0]",
                spec,
                "millrace.worker.max-model-len",
                512,
                "millrace.worker.kv-memory",
                "256MB");
        try (SystemUnderTest system = SystemUnderTest.start(dir, properties, RealModel.NAME);
                var threads = Executors.newVirtualThreadPerTaskExecutor()) {
            List<ObjectNode> requests = requests(count, tokensMin, tokensStep);
            List<Answer> alone = new ArrayList<>();
            long began = System.nanoTime();
            for (ObjectNode request : requests) {
                alone.add(RealModel.stream(system.url(), request, () -> {}));
            }
            long between = System.nanoTime();
            List<Answer> together = RealModel.join(RealModel.together(threads, system.url(), requests, number -> {}));
            long ended = System.nanoTime();

            for (int i = 0; i < count; i++) {
                assertThat(together.get(i)).as("request %d", i).isEqualTo(alone.get(i));
                assertThat(together.get(i).choices().values())
                        .as("request %d", i)
                        .allMatch(text -> text.contains(" ["));
            }
            assertThat(together).anyMatch(answer -> answer.choices().size() == 2);
            assertThat(together)
                    .anyMatch(answer -> answer.choices().values().stream().anyMatch(text -> text.endsWith(" [stop]")));
            assertThat(workersThatWorked(system))
                    .as("workers with tokens generated")
                    .isEqualTo(2);
            report("one after the other", alone, between - began);
            report("all at once", together, ended - between);
        }
    }

    /** Chats of {@code tokensMin} tokens and up to three steps more; some with two choices, some that stop at a string. */
    private static List<ObjectNode> requests(int count, int tokensMin, int tokensStep) {
        List<ObjectNode> requests = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            ObjectNode request = RealModel.request(i, tokensMin + i % 4 * tokensStep);
            if (i % 8 == 3) {
                request.put("n", 2);
            }
            if (i % 5 == 2) {
                request.putArray("stop").add(" the").add("\n");
            }
            if (i % 4 == 1) {
                people(request);
            }
            requests.add(request);
        }
        return requests;
    }

    @Test
    @Tag("long")
    @Timeout(400)
    void aWorkerProcessKilledAmidSixteenStreamsLeavesThemAllByteIdentical() throws Exception {
        String spec = RealModel.spec();
        String port = String.valueOf(Processes.freePort());
        String url = "http://127.0.0.1:" + port;
        try (EmbeddedBroker broker = EmbeddedBroker.start(BrokerSettings.local(dir.resolve("kafka"), 0));
                Processes processes = new Processes(dir);
                var threads = Executors.newVirtualThreadPerTaskExecutor()) {
            String kafka = broker.bootstrap();
            Process victim = processes.start("worker-1", with("worker", "--kafka", kafka, "--model", spec));
            processes.start("worker-2", with("worker", "--kafka", kafka, "--model", spec));
            processes.start("rest", with("up", "--workers", "0", "--kafka", kafka, "--port", port));
            processes.awaitOutput("worker-1", "health and metrics");
            processes.awaitOutput("worker-2", "health and metrics");
            processes.awaitOutput("rest", "Ready at");
            SystemUnderTest.awaitServed(url, RealModel.NAME);
            List<ObjectNode> requests = streams();
            List<Answer> undisturbed = RealModel.join(RealModel.together(threads, url, requests, number -> {}));

            Set<Integer> begun = ConcurrentHashMap.newKeySet();
            List<Future<Answer>> disturbed = RealModel.together(threads, url, requests, begun::add);
            Processes.await("the first text of all streams", () -> begun.size() == STREAMS);
            assertThat(disturbed).as("streams at the kill").noneMatch(Future::isDone);
            Processes.kill(victim);

            assertThat(RealModel.join(disturbed)).isEqualTo(undisturbed);
            assertThat(metric(url, "millrace_router_attempts_lost_total"))
                    .as("attempts lost with the worker")
                    .isBetween(1.0, STREAMS - 1.0);
        }
    }

    @Test
    @Tag("long")
    @Timeout(400)
    void theWholeOfItKilledAndStartedAgainEndsEveryStreamWithTheSameText() throws Exception {
        String spec = RealModel.spec();
        String port = String.valueOf(Processes.freePort());
        String url = "http://127.0.0.1:" + port;
        int kafka = Processes.freePort();
        String data = dir.resolve("data").toString();
        String[] up =
                with("up", "--model", spec, "--port", port, "--kafka-port", String.valueOf(kafka), "--data-dir", data);
        try (Processes processes = new Processes(dir);
                var threads = Executors.newVirtualThreadPerTaskExecutor()) {
            Process first = processes.start("first", up);
            processes.awaitOutput("first", "Ready at");
            List<ObjectNode> requests = streams();
            List<Answer> undisturbed = RealModel.join(RealModel.together(threads, url, requests, number -> {}));
            Set<Integer> begun = ConcurrentHashMap.newKeySet();
            List<Future<Answer>> disturbed = RealModel.together(threads, url, requests, begun::add);
            Processes.await("the first text of all streams", () -> begun.size() == STREAMS);
            assertThat(disturbed).as("streams at the kill").noneMatch(Future::isDone);
            Processes.kill(first);

            processes.start("second", up);
            processes.awaitOutput("second", "Ready at");
            List<Journals.Ended> ended = Journals.awaitAllEnded("127.0.0.1:" + kafka, 4, 2 * STREAMS);

            assertThat(ended).hasSize(2 * STREAMS);
            for (int i = 0; i < STREAMS; i++) {
                String expected = undisturbed.get(i).choices().get(0);
                String prompt = "\"(" + i + ") ";
                assertThat(ended.stream()
                                .filter(each -> each.submit()
                                        .getChat()
                                        .getMessagesJson()
                                        .contains(prompt))
                                .map(each -> each.text() + " [" + each.finish() + "]"))
                        .as("both runs of stream %d", i)
                        .containsExactly(expected, expected);
            }
            threads.shutdownNow();
        }
    }

    /** Streams that do not end early: half of them greedy, half sampled with a seed. */
    private static List<ObjectNode> streams() {
        List<ObjectNode> requests = new ArrayList<>();
        for (int i = 0; i < STREAMS; i++) {
            ObjectNode request = RealModel.request(i, STREAM_TOKENS).put("ignore_eos", true);
            if (i % 2 == 1) {
                request.put("temperature", 0.8).put("seed", 4711 + i);
            }
            if (i % 4 >= 2) {
                people(request);
            }
            requests.add(request);
        }
        return requests;
    }

    /** Binds the answer to a list longer than any answer here. */
    private static void people(ObjectNode request) {
        ObjectNode schema =
                request.putObject("guided_json").put("type", "array").put("minItems", 40);
        ObjectNode person = schema.putObject("items").put("type", "object").put("additionalProperties", false);
        ObjectNode properties = person.putObject("properties");
        properties.putObject("name").put("type", "string").put("maxLength", 12);
        properties.putObject("age").put("type", "integer").put("minimum", 1).put("maximum", 99);
        person.putArray("required").add("name").add("age");
    }

    private static String[] with(String... first) {
        return Stream.concat(Stream.of(first), Stream.of(SMALL)).toArray(String[]::new);
    }

    private static double metric(String url, String name) throws Exception {
        String text = SystemUnderTest.fetch(url + "/actuator/prometheus").body();
        return Pattern.compile("(?m)^" + name + "\\{[^}]*} ([0-9.E]+)$")
                .matcher(text)
                .results()
                .mapToDouble(found -> Double.parseDouble(found.group(1)))
                .sum();
    }

    private static long workersThatWorked(SystemUnderTest system) throws Exception {
        Matcher matcher = Pattern.compile("(?m)^millrace_worker_generation_tokens_total\\{[^}]*} ([0-9.E]+)$")
                .matcher(system.get("/actuator/prometheus").body());
        return matcher.results()
                .filter(found -> Double.parseDouble(found.group(1)) > 20)
                .count();
    }

    private static void report(String how, List<Answer> answers, long nanos) {
        int tokens = answers.stream().mapToInt(Answer::tokens).sum();
        System.out.printf(
                Locale.ROOT,
                "%d requests %s: %d tokens in %.1f s, %.1f tokens/s%n",
                answers.size(),
                how,
                tokens,
                nanos / 1e9,
                tokens * 1e9 / nanos);
    }
}

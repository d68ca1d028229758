package io.millrace.standalone.system;

import io.millrace.standalone.broker.BrokerSettings;
import io.millrace.standalone.broker.EmbeddedBroker;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** Workers in processes of their own, a process for gateway and router, and the broker in this one. */
final class WorkerProcesses implements AutoCloseable {

    private static final List<String> SMALL =
            List.of("--set", "millrace.kafka.partitions=4", "--set", "millrace.kafka.slots=4");

    private final EmbeddedBroker broker;
    private final Processes processes;

    WorkerProcesses(Path dir) {
        this.broker = EmbeddedBroker.start(BrokerSettings.local(dir.resolve("kafka"), 0));
        this.processes = new Processes(dir);
    }

    String bootstrap() {
        return broker.bootstrap();
    }

    /** Starts a worker; its output goes to a file of that name. */
    Process worker(String name, Map<String, String> environment, String... arguments) throws IOException {
        List<String> all = new ArrayList<>(List.of("worker", "--kafka", bootstrap()));
        all.addAll(List.of(arguments));
        all.addAll(SMALL);
        return processes.start(name, environment, all.toArray(String[]::new));
    }

    /** Starts gateway and router, and waits until the workers' model is served; the gateway's address. */
    String serve(String model) throws Exception {
        int port = Processes.freePort();
        List<String> all = new ArrayList<>(
                List.of("up", "--workers", "0", "--kafka", bootstrap(), "--port", String.valueOf(port)));
        all.addAll(SMALL);
        processes.start("rest", all.toArray(String[]::new));
        processes.awaitOutput("rest", "Ready at");
        String url = "http://127.0.0.1:" + port;
        SystemUnderTest.awaitServed(url, model);
        return url;
    }

    /** Where the output of that name goes. */
    Path output(String name) {
        return processes.output(name);
    }

    @Override
    public void close() throws InterruptedException {
        try (broker) {
            processes.close();
        }
    }
}

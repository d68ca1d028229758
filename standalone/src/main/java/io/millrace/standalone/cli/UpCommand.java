package io.millrace.standalone.cli;

import io.millrace.shared.error.MillraceException;
import io.millrace.shared.net.FreePort;
import io.millrace.standalone.Main;
import io.millrace.standalone.broker.EmbeddedBroker;
import io.millrace.standalone.config.BrokerProperties;
import io.millrace.standalone.config.WorkerProperties;
import io.millrace.standalone.parts.Role;
import io.millrace.standalone.process.Children;
import java.io.IOException;
import java.net.URI;
import java.time.Duration;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code millrace up}: everything, in this process or in one of its own for each part. */
@Command(name = "up", description = "Starts everything: Kafka, a gateway, a router, workers.", sortOptions = false)
final class UpCommand implements Callable<Integer> {

    private static final long CHILD_READY_MS = 600_000;

    @Mixin
    private WorkerOptions worker = new WorkerOptions();

    @Option(
            names = "--workers",
            paramLabel = "N",
            defaultValue = "1",
            description = "Workers (default ${DEFAULT-VALUE}).")
    private int workers;

    @Option(
            names = "--port",
            defaultValue = "8080",
            description = "The gateway's port (default ${DEFAULT-VALUE}; 0: any free one).")
    private int port;

    @Option(
            names = "--host",
            defaultValue = "127.0.0.1",
            description = "Address it listens on (default ${DEFAULT-VALUE}).")
    @SuppressWarnings("NullAway.Init")
    private String host;

    @Option(
            names = "--kafka",
            paramLabel = "HOST:PORT",
            description = "A Kafka that runs already, instead of the embedded one.")
    private @Nullable String kafka;

    @Mixin
    private BrokerOptions broker = new BrokerOptions();

    @Option(names = "--processes", description = "Broker, gateway, router and each worker in a process of its own.")
    private boolean processes;

    @Mixin
    private CommonOptions common = new CommonOptions();

    @Spec
    @SuppressWarnings("NullAway.Init")
    private CommandSpec spec;

    @Override
    public Integer call() throws InterruptedException, TimeoutException {
        if (workers < 0 || workers > 64) {
            throw new MillraceException("MR-CONF-003", "--workers " + workers + " is not between 0 and 64.");
        }
        requireFree(host, port);
        Console console = new Console(spec.commandLine().getOut(), common.isChild());
        console.plain("Millrace " + VersionCommand.version());
        return processes ? asProcesses(console) : inThisProcess(console);
    }

    private int inThisProcess(Console console) throws InterruptedException {
        Map<String, Object> flags = RoleCommands.web(host, port);
        flags.putAll(worker.properties());
        flags.put("millrace.worker.count", workers);
        AtomicReference<@Nullable EmbeddedBroker> started = new AtomicReference<>();
        CompletableFuture<?> brokerReady = CompletableFuture.completedFuture(null);
        String given = kafka;
        if (given == null) {
            BrokerProperties properties = fixPort(broker.properties(common.properties()));
            flags.put("millrace.kafka.bootstrap-servers", "127.0.0.1:" + properties.port());
            flags.putAll(local(properties));
            brokerReady = start(properties, started, console);
        } else {
            flags.put("millrace.kafka.bootstrap-servers", given);
        }
        flags.putAll(common.properties());
        EnumSet<Role> roles = workers == 0 ? EnumSet.of(Role.GATEWAY, Role.ROUTER) : EnumSet.allOf(Role.class);
        Runnable stopBroker = () -> {
            EmbeddedBroker running = started.get();
            if (running != null) {
                running.close();
            }
        };
        return new PartsRunner(console, common)
                .watchParent(common.isChild())
                .run(roles, flags, brokerReady, stopBroker, null, actual -> announce(console, actual));
    }

    private CompletableFuture<Void> start(
            BrokerProperties properties, AtomicReference<@Nullable EmbeddedBroker> started, Console console) {
        CompletableFuture<Void> ready = new CompletableFuture<>();
        Thread.ofPlatform().name("start-broker").daemon().start(() -> {
            try {
                EmbeddedBroker running = EmbeddedBroker.start(properties.settings(common.dataDir()));
                started.set(running);
                console.ready("broker", running.bootstrap());
                ready.complete(null);
            } catch (RuntimeException | Error failure) {
                ready.completeExceptionally(failure);
            }
        });
        return ready;
    }

    private int asProcesses(Console console) throws InterruptedException, TimeoutException {
        RunningProcess process = new RunningProcess();
        Children children = new Children(
                Main.class.getName(),
                common.dataDir().resolve("logs"),
                (name, line) -> console.progress(name + ": " + line));
        process.onEnd(children::close, () -> Children.CLOSE_MAX.plusSeconds(1));
        List<String> local = new ArrayList<>();
        String bootstrap = kafka;
        if (bootstrap == null) {
            List<String> arguments = new ArrayList<>(List.of(Children.BROKER));
            BrokerProperties fixed = fixPort(broker.properties(common.properties()));
            local(fixed).forEach((name, value) -> local.addAll(List.of("--set", name + "=" + value)));
            arguments.addAll(List.of("--kafka-port", String.valueOf(fixed.port()), "--kafka-host", fixed.host()));
            arguments.addAll(List.of("--advertised-host", fixed.advertisedHost()));
            arguments.addAll(common.arguments());
            bootstrap = child(children, console, Children.BROKER, arguments, true);
        }
        Map<String, List<String>> parts = new LinkedHashMap<>();
        // Fixed here, so that a gateway that starts again is where it was.
        int gatewayPort = port == 0 ? freePort(host) : port;
        parts.put("gateway", List.of("--host", host, "--port", String.valueOf(gatewayPort)));
        parts.put("router", List.of());
        for (int i = 1; i <= workers; i++) {
            List<String> arguments = new ArrayList<>(worker.arguments());
            // Before the user's own settings, which win.
            arguments.addAll(List.of("--set", "millrace.worker.threads=" + threadsEach()));
            arguments.addAll(local);
            parts.put("worker-" + i, arguments);
        }
        for (Map.Entry<String, List<String>> part : parts.entrySet()) {
            List<String> arguments =
                    new ArrayList<>(List.of(part.getKey().replaceAll("-[0-9]+$", ""), "--kafka", bootstrap));
            arguments.addAll(part.getValue());
            arguments.addAll(common.arguments());
            child(children, console, part.getKey(), arguments, false);
        }
        String gateway = "";
        for (String part : parts.keySet()) {
            String address = children.await(part, CHILD_READY_MS);
            console.ready(part, "process " + children.pid(part));
            gateway = part.equals("gateway") ? address : gateway;
        }
        announce(console, URI.create(gateway).getPort());
        process.await();
        return 0;
    }

    private String child(Children children, Console console, String name, List<String> arguments, boolean wait)
            throws InterruptedException, TimeoutException {
        children.start(name, arguments);
        if (!wait) {
            return "";
        }
        String address = children.await(name, CHILD_READY_MS);
        console.ready(name, address + ", process " + children.pid(name));
        return address;
    }

    /** The processors divided among the worker processes and their models, at least one each. */
    private int threadsEach() {
        long models = worker.properties().keySet().stream()
                .filter(name -> name.startsWith("millrace.worker.models["))
                .count();
        return WorkerProperties.share(Runtime.getRuntime().availableProcessors(), workers, (int) models);
    }

    private void announce(Console console, int actual) {
        String url = "http://" + (host.equals("0.0.0.0") ? "127.0.0.1" : host) + ":" + actual;
        List<ServedModels.Served> models = workers == 0 ? List.of() : ServedModels.await(url, Duration.ofSeconds(10));
        console.plain("");
        console.plain("Ready at " + url + " - try:");
        console.plain("");
        console.plain("  " + example(url, models, System.getenv(ServedModels.API_KEY) != null));
        console.plain("");
        console.readyForParent(url);
    }

    /**
     * A call of the first model that generates, else of the first that does anything else; where none is known, as to who has no key, one
     * that lists them.
     *
     * @param keyed whether calls are made with a key
     */
    static String example(String url, List<ServedModels.Served> models, boolean keyed) {
        String key = "-H \"Authorization: Bearer $" + ServedModels.API_KEY + "\"";
        if (models.isEmpty()) {
            return "curl " + url + "/v1/models " + key;
        }
        ServedModels.Served model = models.stream()
                .filter(ServedModels.Served::generates)
                .findFirst()
                .orElseGet(models::getFirst);
        String json = (keyed ? key + " " : "") + "-H 'Content-Type: application/json' -d '{\"model\":\"" + model.name()
                + "\",";
        if (model.generates()) {
            return "curl -N " + url + "/v1/chat/completions " + json
                    + "\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"Why is the sky blue?\"}]}'";
        }
        return model.tasks().contains("embed")
                ? "curl " + url + "/v1/embeddings " + json + "\"input\":\"Why is the sky blue?\"}'"
                : "curl " + url + "/v1/rerank " + json
                        + "\"query\":\"Why is the sky blue?\",\"documents\":[\"Air scatters blue light.\",\"Grass is green.\"]}'";
    }

    private static BrokerProperties fixPort(BrokerProperties properties) {
        return properties.port() != 0 ? properties : properties.withPort(freePort(null));
    }

    /** A port that is free on that host; null: on every address of this machine. */
    static int freePort(@Nullable String host) {
        try {
            return FreePort.on(host);
        } catch (IOException e) {
            throw new MillraceException("MR-BROKER-001", "There is no free port (" + e.getMessage() + ").", e);
        }
    }

    /** What the workers need not show to other machines when the broker does not show itself either. */
    static Map<String, String> local(BrokerProperties broker) {
        String told = broker.advertisedHost().isEmpty() ? broker.host() : broker.advertisedHost();
        return List.of("127.0.0.1", "localhost", "0.0.0.0").contains(told)
                ? Map.of("millrace.worker.liveness-host", "127.0.0.1")
                : Map.of();
    }

    private static void requireFree(String host, int port) {
        try {
            FreePort.check(host, port);
        } catch (IOException taken) {
            throw new MillraceException(
                    "MR-MAIN-002",
                    "The gateway cannot listen on " + host + ":" + port + " (" + taken.getMessage()
                            + "). Stop what uses the port, or choose another with --port.",
                    taken);
        }
    }
}

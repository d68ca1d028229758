package io.millrace.standalone.cli;

import io.millrace.standalone.broker.EmbeddedBroker;
import io.millrace.standalone.config.BrokerProperties;
import io.millrace.standalone.parts.Role;
import io.millrace.standalone.process.Children;
import java.time.Duration;
import java.util.EnumSet;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** One part, against a Kafka elsewhere. */
final class RoleCommands {

    private static final String KAFKA = "millrace.kafka.bootstrap-servers";

    private RoleCommands() {}

    /** {@code millrace gateway}. */
    @Command(name = "gateway", description = "Runs a gateway alone.", sortOptions = false)
    static final class Gateway implements Callable<Integer> {

        @Option(names = "--kafka", paramLabel = "HOST:PORT", required = true, description = "Where Kafka is.")
        @SuppressWarnings("NullAway.Init")
        private String kafka;

        @Option(
                names = "--port",
                defaultValue = "8080",
                description = "Its port (default ${DEFAULT-VALUE}; 0: any free one).")
        private int port;

        @Option(
                names = "--host",
                defaultValue = "127.0.0.1",
                description = "Address it listens on (default ${DEFAULT-VALUE}).")
        @SuppressWarnings("NullAway.Init")
        private String host;

        @Mixin
        private CommonOptions common = new CommonOptions();

        @Spec
        @SuppressWarnings("NullAway.Init")
        private CommandSpec spec;

        @Override
        public Integer call() throws InterruptedException {
            Map<String, Object> flags = web(host, port);
            flags.put(KAFKA, kafka);
            flags.putAll(common.properties());
            return part(spec, common, Role.GATEWAY, flags, host, null);
        }
    }

    /** {@code millrace router}. */
    @Command(name = "router", description = "Runs a router alone.", sortOptions = false)
    static final class Router implements Callable<Integer> {

        @Option(names = "--kafka", paramLabel = "HOST:PORT", required = true, description = "Where Kafka is.")
        @SuppressWarnings("NullAway.Init")
        private String kafka;

        @Mixin
        private ManagementOptions management = new ManagementOptions();

        @Mixin
        private CommonOptions common = new CommonOptions();

        @Spec
        @SuppressWarnings("NullAway.Init")
        private CommandSpec spec;

        @Override
        public Integer call() throws InterruptedException {
            Map<String, Object> flags = web(management.host, management.port);
            flags.put(KAFKA, kafka);
            flags.putAll(common.properties());
            return part(spec, common, Role.ROUTER, flags, management.host, null);
        }
    }

    /** {@code millrace worker}. */
    @Command(name = "worker", description = "Runs a worker alone.", sortOptions = false)
    static final class Worker implements Callable<Integer> {

        @Option(names = "--kafka", paramLabel = "HOST:PORT", required = true, description = "Where Kafka is.")
        @SuppressWarnings("NullAway.Init")
        private String kafka;

        @Mixin
        private WorkerOptions worker = new WorkerOptions();

        @Mixin
        private ManagementOptions management = new ManagementOptions();

        @Mixin
        private CommonOptions common = new CommonOptions();

        @Spec
        @SuppressWarnings("NullAway.Init")
        private CommandSpec spec;

        @Override
        public Integer call() throws InterruptedException {
            Map<String, Object> flags = web(management.host, management.port);
            flags.put(KAFKA, kafka);
            flags.putAll(worker.properties());
            flags.putAll(common.properties());
            // A worker drains first: this is what it has beyond its grace.
            return part(
                    spec, common, Role.WORKER, flags, management.host, Duration.ofSeconds(common.isChild() ? 4 : 10));
        }
    }

    /** {@code millrace broker}. */
    @Command(name = "broker", description = "Runs the embedded Kafka broker alone.", sortOptions = false)
    static final class Broker implements Callable<Integer> {

        @Mixin
        private BrokerOptions broker = new BrokerOptions();

        @Mixin
        private CommonOptions common = new CommonOptions();

        @Spec
        @SuppressWarnings("NullAway.Init")
        private CommandSpec spec;

        @Override
        public Integer call() throws InterruptedException {
            Console console = new Console(spec.commandLine().getOut(), common.isChild());
            BrokerProperties properties = broker.properties(common.properties());
            EmbeddedBroker running = EmbeddedBroker.start(properties.settings(common.dataDir()));
            RunningProcess process = new RunningProcess();
            if (common.isChild()) {
                // Ctrl-C reaches every process of a terminal at once, and the others still need the broker to hand
                // over.
                Duration patience = Children.CLOSE_MAX;
                process.onEnd(
                        () -> {
                            process.awaitParent(patience);
                            running.close();
                        },
                        () -> patience.plusSeconds(5));
                process.watchParent(System.in);
            } else {
                process.onEnd(running::close, () -> Duration.ofSeconds(5));
            }
            if (!common.isChild()) {
                console.ready("broker", running.bootstrap());
            }
            console.readyForParent(running.bootstrap());
            process.await();
            return 0;
        }
    }

    /** Where health and metrics of a part without an API are. */
    static final class ManagementOptions {

        @Option(
                names = "--management-port",
                defaultValue = "0",
                description = "Port of health and metrics (default ${DEFAULT-VALUE}: any free one).")
        private int port;

        @Option(
                names = "--management-host",
                defaultValue = "127.0.0.1",
                description = "Address of health and metrics (default ${DEFAULT-VALUE}).")
        @SuppressWarnings("NullAway.Init")
        private String host;
    }

    static Map<String, Object> web(String host, int port) {
        Map<String, Object> flags = new LinkedHashMap<>();
        flags.put("server.address", host);
        flags.put("server.port", port);
        return flags;
    }

    private static int part(
            CommandSpec spec,
            CommonOptions common,
            Role role,
            Map<String, Object> flags,
            String host,
            @Nullable Duration stopPatience)
            throws InterruptedException {
        Console console = new Console(spec.commandLine().getOut(), common.isChild());
        return new PartsRunner(console, common)
                .watchParent(common.isChild())
                .run(EnumSet.of(role), flags, CompletableFuture.completedFuture(null), () -> {}, stopPatience, port -> {
                    String address = "http://" + host + ":" + port;
                    if (!common.isChild()) {
                        console.say("health and metrics at " + address + "/actuator");
                    }
                    console.readyForParent(address);
                });
    }
}

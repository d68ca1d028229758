package io.millrace.bench.chaos;

import io.millrace.bench.chaos.ChaosNode.Role;
import io.millrace.shared.net.FreePort;
import io.millrace.standalone.Main;
import io.millrace.standalone.process.ProgramProcesses;
import java.io.IOException;
import java.net.InetAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/** Brokers, routers, gateways and workers as processes, each in a folder's log file of its own. The first of each kind can be cut off from Kafka. */
final class ChaosCluster implements AutoCloseable {

    private static final long SERVED_S_MAX = 120;
    private static final String HERE = "127.0.0.1";
    private static final HttpClient HTTP = HttpClient.newBuilder()
            .version(HttpClient.Version.HTTP_1_1)
            .connectTimeout(Duration.ofSeconds(1))
            .build();

    private final ChaosSetup setup;
    private final Path dir;
    private final ProgramProcesses processes;
    private final List<ChaosNode> nodes = new ArrayList<>();
    private final ConcurrentHashMap<ChaosNode, String> urls = new ConcurrentHashMap<>();
    private final List<KafkaCut> cuts = new ArrayList<>();
    private final List<Integer> brokerPorts = new ArrayList<>();
    private String bootstrap = "";

    private ChaosCluster(ChaosSetup setup, Path dir) {
        this.setup = setup;
        this.dir = dir;
        this.processes = new ProgramProcesses(dir, Main.class.getName());
    }

    /** Starts all of it; returns when the model is served at every gateway. */
    static ChaosCluster start(ChaosSetup setup, Path dir) throws IOException, InterruptedException, TimeoutException {
        var cluster = new ChaosCluster(setup, dir);
        try {
            cluster.startBrokers();
            cluster.startParts();
            return cluster;
        } catch (IOException | InterruptedException | TimeoutException | RuntimeException failure) {
            cluster.close();
            throw failure;
        }
    }

    private void startBrokers() throws IOException, InterruptedException, TimeoutException {
        List<Integer> ports = FreePort.several(2 * setup.brokers(), HERE);
        brokerPorts.addAll(ports.subList(0, setup.brokers()));
        List<Integer> controllers = ports.subList(setup.brokers(), ports.size());
        String voters = setup.brokers() == 1
                ? ""
                : IntStream.range(0, setup.brokers())
                        .mapToObj(i -> (i + 1) + "@127.0.0.1:" + controllers.get(i))
                        .collect(Collectors.joining(","));
        for (int i = 1; i <= setup.brokers(); i++) {
            List<String> arguments = new ArrayList<>(List.of(
                    "--data-dir",
                    dir.resolve("broker-" + i).toString(),
                    "--kafka-port",
                    String.valueOf(brokerPorts.get(i - 1)),
                    "--advertised-host",
                    "localhost",
                    "--set",
                    "millrace.broker.node=" + i,
                    "--set",
                    "millrace.broker.voters=" + voters));
            add(Role.BROKER, i, List.of(), arguments, null).start();
        }
        bootstrap = brokerPorts.stream().map(port -> "localhost:" + port).collect(Collectors.joining(","));
        for (ChaosNode broker : nodes(Role.BROKER)) {
            awaitReady(broker);
        }
    }

    private void startParts() throws IOException, InterruptedException, TimeoutException {
        for (int i = 1; i <= setup.routers(); i++) {
            part(Role.ROUTER, i, List.of("--set", "millrace.router.node=router-" + i))
                    .start();
            if (i == 1) {
                nodes.getLast().awaitStarted(); // it makes the topics
            }
        }
        for (int i = 1; i <= setup.workers(); i++) {
            part(Role.WORKER, i, setup.worker("worker-" + i)).start();
        }
        for (int i = 1; i <= setup.gateways(); i++) {
            int port = FreePort.on(HERE);
            ChaosNode gateway = part(
                    Role.GATEWAY,
                    i,
                    List.of(
                            "--port",
                            String.valueOf(port),
                            "--set",
                            "millrace.gateway.node=gateway-" + i,
                            "--set",
                            "millrace.gateway.heartbeat=2s",
                            "--set",
                            "millrace.gateway.open-after=3s"));
            urls.put(gateway, "http://127.0.0.1:" + port);
            gateway.start();
        }
        for (ChaosNode node : nodes) {
            awaitReady(node);
        }
    }

    private ChaosNode part(Role role, int index, List<String> own) throws IOException {
        List<String> arguments = setup.common(bootstrap);
        arguments.addAll(own);
        KafkaCut cut = null;
        List<String> jvm = List.of();
        if (index == 1) {
            InetAddress address = InetAddress.getByAddress(new byte[] {127, 0, 1, (byte) (role.ordinal() + 1)});
            cut = cut(address);
            if (cut != null) {
                Path hosts = dir.resolve(role.command() + ".hosts");
                Files.writeString(
                        hosts,
                        address.getHostAddress() + " localhost\n127.0.0.1 "
                                + InetAddress.getLocalHost().getHostName() + "\n");
                jvm = List.of("-Djdk.net.hosts.file=" + hosts);
            }
        }
        return add(role, index, jvm, arguments, cut);
    }

    /** Null where this system has no more loopback addresses than one. */
    private @Nullable KafkaCut cut(InetAddress address) {
        try {
            KafkaCut cut = new KafkaCut(address, brokerPorts);
            cuts.add(cut);
            return cut;
        } catch (IOException noSuchAddress) {
            return null;
        }
    }

    private ChaosNode add(Role role, int index, List<String> jvm, List<String> arguments, @Nullable KafkaCut cut) {
        var node = new ChaosNode(processes, role, index, jvm, arguments, cut);
        nodes.add(node);
        return node;
    }

    /** Waits until it has started; a gateway, until it serves the model. */
    void awaitReady(ChaosNode node) throws IOException, InterruptedException, TimeoutException {
        node.awaitStarted();
        String url = urls.get(node);
        if (url != null) {
            awaitServed(node, url);
        }
        node.markReady();
    }

    private void awaitServed(ChaosNode node, String url) throws InterruptedException, TimeoutException {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(SERVED_S_MAX);
        while (System.nanoTime() < end) {
            try {
                HttpRequest request = HttpRequest.newBuilder(URI.create(url + "/v1/models"))
                        .timeout(Duration.ofSeconds(5))
                        .build();
                if (HTTP.send(request, HttpResponse.BodyHandlers.ofString())
                        .body()
                        .contains("\"" + setup.name() + "\"")) {
                    return;
                }
            } catch (IOException notYet) {
                // It was killed meanwhile, or is not there yet.
            }
            Thread.sleep(20);
        }
        throw new TimeoutException(node.name() + " does not serve " + setup.name() + " after " + SERVED_S_MAX + " s");
    }

    ChaosSetup setup() {
        return setup;
    }

    String bootstrap() {
        return bootstrap;
    }

    List<ChaosNode> nodes() {
        return List.copyOf(nodes);
    }

    List<ChaosNode> nodes(Role role) {
        return nodes.stream().filter(node -> node.role() == role).toList();
    }

    /** Where a gateway answers. */
    String url(ChaosNode gateway) {
        String url = urls.get(gateway);
        if (url == null) {
            throw new IllegalArgumentException(gateway.name() + " is no gateway");
        }
        return url;
    }

    /** Kills all. */
    @Override
    public void close() throws InterruptedException {
        cuts.forEach(KafkaCut::close);
        processes.close();
    }
}

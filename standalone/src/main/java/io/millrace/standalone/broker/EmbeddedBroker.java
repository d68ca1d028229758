package io.millrace.standalone.broker;

import io.millrace.shared.error.MillraceException;
import io.millrace.shared.net.FreePort;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.FileStore;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.Comparator;
import java.util.Map;
import java.util.Properties;
import java.util.stream.Stream;
import kafka.server.KafkaConfig;
import kafka.server.KafkaRaftServer;
import org.apache.kafka.common.utils.Exit;
import org.apache.kafka.common.utils.Time;
import org.apache.kafka.metadata.storage.Formatter;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A Kafka broker and its controller (KRaft) in this JVM, alone or as a node of a cluster; its data outlives the process, also when that is
 * killed.
 *
 * <p>The folder is formatted once, beside its place, and moved there whole, so a kill in the middle leaves nothing half made.
 * Start and close from one thread.
 */
public final class EmbeddedBroker implements AutoCloseable {

    private static final Logger LOG = LoggerFactory.getLogger(EmbeddedBroker.class);
    /** Bodies are at most 8 MiB; see docs/protocol.md. */
    private static final int MESSAGE_BYTES_MAX = 10 << 20;

    private final KafkaRaftServer server;
    private final String bootstrap;

    private EmbeddedBroker(KafkaRaftServer server, String bootstrap) {
        this.server = server;
        this.bootstrap = bootstrap;
    }

    /**
     * Starts the broker; returns when it takes clients.
     *
     * @throws MillraceException MR-BROKER-001 the port is taken, -002 another process has the folder, -003 the disk is full,
     *     -004 the folder cannot be used, -005 anything else that Kafka says. As a node of a cluster it waits for a majority of
     *     the others
     */
    public static EmbeddedBroker start(BrokerSettings settings) {
        return start(settings, "PLAINTEXT", Map.of());
    }

    /**
     * The same for clients of that security protocol.
     *
     * @param more properties of Kafka's own, over ours
     */
    public static EmbeddedBroker start(BrokerSettings settings, String protocol, Map<String, String> more) {
        Path data = settings.dataDir().toAbsolutePath();
        prepare(data, settings);
        requireUnlocked(data);
        int port = settings.port() == 0 ? freePort(settings.host()) : settings.port();
        requireFree(settings.host(), port);
        BrokerCluster cluster = settings.cluster();
        String controller = cluster.alone() ? "127.0.0.1:" + freePort("127.0.0.1") : cluster.controller();
        Properties properties = properties(settings, data, port, controller, protocol);
        properties.putAll(more);
        explainEnd(data);
        KafkaRaftServer server = null;
        try {
            server = new KafkaRaftServer(KafkaConfig.fromProps(properties, false), Time.SYSTEM);
            server.startup();
        } catch (RuntimeException failure) {
            stopQuietly(server);
            throw coded(failure, data);
        }
        return new EmbeddedBroker(server, settings.clientHost() + ":" + port);
    }

    /** Where clients connect: {@code host:port}. */
    public String bootstrap() {
        return bootstrap;
    }

    /** Controlled shutdown; idempotent. */
    @Override
    public void close() {
        stopQuietly(server);
    }

    private static void prepare(Path data, BrokerSettings settings) {
        try {
            Path parent = data.getParent() == null ? data : data.getParent();
            Files.createDirectories(parent);
            FileStore disk = Files.getFileStore(parent);
            if (disk.getUsableSpace() < settings.minFreeBytes()) {
                throw new MillraceException(
                        "MR-BROKER-003",
                        "The disk of %s has %,d MiB free; the broker wants %,d. Free some, or name another folder with --data-dir."
                                .formatted(data, disk.getUsableSpace() >> 20, settings.minFreeBytes() >> 20));
            }
            if (!Files.exists(data.resolve("meta.properties"))) {
                format(data, parent, settings.cluster());
            }
        } catch (IOException e) {
            throw new MillraceException(
                    "MR-BROKER-004",
                    "The broker cannot use the folder " + data + " (" + e
                            + "). Check its owner and rights, or name another with --data-dir.",
                    e);
        }
    }

    private static void format(Path data, Path parent, BrokerCluster cluster) throws IOException {
        Path fresh = Files.createTempDirectory(parent, data.getFileName() + ".format-");
        try (PrintStream silent = new PrintStream(OutputStream.nullOutputStream())) {
            new Formatter()
                    .setPrintStream(silent)
                    .setNodeId(cluster.node())
                    .setClusterId(cluster.id())
                    .setControllerListenerName("CONTROLLER")
                    .setHasDynamicQuorum(false)
                    .addDirectory(fresh.toString())
                    .setMetadataLogDirectory(fresh.toString())
                    .run();
        } catch (IOException e) {
            throw e;
        } catch (Exception e) {
            throw new IOException(e.getMessage(), e);
        }
        deleteEmptyOrUnformatted(data);
        Files.move(fresh, data, StandardCopyOption.ATOMIC_MOVE);
    }

    private static void deleteEmptyOrUnformatted(Path data) throws IOException {
        if (!Files.exists(data)) {
            return;
        }
        try (Stream<Path> content = Files.list(data)) {
            if (content.anyMatch(entry -> !entry.getFileName().toString().equals(".lock"))) {
                throw new IOException("it holds other files and no meta.properties");
            }
        }
        try (Stream<Path> tree = Files.walk(data)) {
            for (Path path : tree.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(path);
            }
        }
    }

    private static Properties properties(
            BrokerSettings settings, Path data, int port, String controller, String protocol) {
        BrokerCluster cluster = settings.cluster();
        String replicas = String.valueOf(cluster.replicas());
        String inSync = String.valueOf(cluster.inSync());
        Properties p = new Properties();
        p.put("process.roles", "broker,controller");
        p.put("node.id", String.valueOf(cluster.node()));
        p.put(
                "controller.quorum.voters",
                cluster.alone() ? cluster.node() + "@" + controller : String.join(",", cluster.voters()));
        p.put("controller.listener.names", "CONTROLLER");
        p.put("listeners", protocol + "://" + settings.host() + ":" + port + ",CONTROLLER://" + controller);
        p.put("advertised.listeners", protocol + "://" + settings.clientHost() + ":" + port);
        p.put("listener.security.protocol.map", protocol + ":" + protocol + ",CONTROLLER:PLAINTEXT");
        p.put("inter.broker.listener.name", protocol);
        p.put("log.dirs", data.toString());
        p.put("default.replication.factor", replicas);
        p.put("min.insync.replicas", inSync);
        p.put("offsets.topic.replication.factor", replicas);
        p.put("offsets.topic.num.partitions", "1");
        p.put("transaction.state.log.replication.factor", replicas);
        p.put("transaction.state.log.min.isr", inSync);
        p.put("transaction.state.log.num.partitions", "1");
        p.put("share.coordinator.state.topic.replication.factor", replicas);
        p.put("share.coordinator.state.topic.min.isr", inSync);
        if (!cluster.alone()) {
            // The partitions of a node that died stand still until it is missed: the defaults of 2 s and more add up.
            p.put("controller.quorum.fetch.timeout.ms", "1000");
            p.put("controller.quorum.election.timeout.ms", "500");
            p.put("controller.quorum.election.backoff.max.ms", "500");
            p.put("replica.lag.time.max.ms", "5000");
        }
        p.put("auto.create.topics.enable", "false");
        p.put("group.initial.rebalance.delay.ms", "0");
        p.put("message.max.bytes", String.valueOf(MESSAGE_BYTES_MAX));
        p.put("replica.fetch.max.bytes", String.valueOf(MESSAGE_BYTES_MAX));
        p.put("socket.request.max.bytes", String.valueOf(4 * MESSAGE_BYTES_MAX));
        // A restart after kill -9, and the partitions that a dead node led, otherwise wait 9 s for the old session.
        p.put("broker.session.timeout.ms", "2000");
        p.put("broker.heartbeat.interval.ms", "500");
        // Otherwise 128 MiB.
        p.put("log.cleaner.dedupe.buffer.size", "4194304");
        p.put("num.network.threads", "1");
        p.put("num.io.threads", "2");
        p.put("background.threads", "2");
        p.put("num.recovery.threads.per.data.dir", "4");
        p.put("log.segment.bytes", String.valueOf(64 << 20));
        p.put("log.index.size.max.bytes", String.valueOf(1 << 20));
        return p;
    }

    /** Kafka ends the whole process when it cannot write any more: whoever runs it hears why, and what to do. */
    private static void explainEnd(Path data) {
        Exit.Procedure end = (status, message) -> {
            LOG.error(
                    "[MR-BROKER-006] The broker cannot write to {} any more ({}) and ends this process. {} What was accepted lies"
                            + " in the log and goes on at the next start.",
                    data,
                    message == null ? "the reason stands above" : message,
                    advice(data));
            Runtime.getRuntime().halt(status == 0 ? 1 : status);
        };
        Exit.setHaltProcedure(end);
        Exit.setExitProcedure(end);
    }

    private static String advice(Path data) {
        try {
            long free = Files.getFileStore(data).getUsableSpace();
            return free < BrokerSettings.MIN_FREE_BYTES
                    ? "Its disk has %,d MiB free: free some and start again.".formatted(free >> 20)
                    : "Its disk has %,d MiB free: check its rights and health, then start again.".formatted(free >> 20);
        } catch (IOException gone) {
            return "Its disk does not answer (" + gone + "): check it, then start again.";
        }
    }

    /** Kafka ends the whole process when it finds its folder locked, so we look first. */
    private static void requireUnlocked(Path data) {
        try (FileChannel file =
                FileChannel.open(data.resolve(".lock"), StandardOpenOption.CREATE, StandardOpenOption.WRITE)) {
            FileLock lock = file.tryLock();
            if (lock == null) {
                throw locked(data, null);
            }
            lock.release();
        } catch (OverlappingFileLockException inThisProcess) {
            throw locked(data, inThisProcess);
        } catch (IOException e) {
            throw new MillraceException(
                    "MR-BROKER-004", "The broker cannot write to its folder " + data + " (" + e + ").", e);
        }
    }

    private static MillraceException locked(Path data, @Nullable Exception cause) {
        String message = "Another broker uses the folder " + data
                + ". Stop it (is there a second './millrace up'?), or name another folder with --data-dir.";
        return cause == null
                ? new MillraceException("MR-BROKER-002", message)
                : new MillraceException("MR-BROKER-002", message, cause);
    }

    private static void requireFree(String host, int port) {
        try {
            FreePort.check(host, port);
        } catch (IOException taken) {
            throw new MillraceException(
                    "MR-BROKER-001",
                    "The broker cannot listen on " + host + ":" + port + " (" + taken.getMessage()
                            + "). Stop what uses the port, or choose another with --kafka-port; 0 takes a free one.",
                    taken);
        }
    }

    private static int freePort(String host) {
        try {
            return FreePort.on(host);
        } catch (IOException e) {
            throw new MillraceException(
                    "MR-BROKER-001", "The broker found no free port on " + host + " (" + e.getMessage() + ").", e);
        }
    }

    private static MillraceException coded(RuntimeException failure, Path data) {
        String text = String.valueOf(failure.getMessage());
        if (text.contains("No space left")) {
            return new MillraceException(
                    "MR-BROKER-003",
                    "The disk of " + data + " is full. Free some, or name another folder with --data-dir.",
                    failure);
        }
        return new MillraceException(
                "MR-BROKER-005",
                "The broker did not start: " + text + ". Its log says more; its data lies in " + data + ".",
                failure);
    }

    private static void stopQuietly(@Nullable KafkaRaftServer server) {
        if (server == null) {
            return;
        }
        try {
            server.shutdown();
            server.awaitShutdown();
        } catch (RuntimeException e) {
            LOG.debug("the broker's shutdown", e);
        }
    }
}

package io.millrace.standalone.system;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.millrace.shared.error.MillraceException;
import io.millrace.shared.log.kafka.KafkaLog;
import io.millrace.shared.log.kafka.KafkaSettings;
import io.millrace.shared.log.kafka.TopicAccess;
import io.millrace.shared.log.kafka.TopicAdmin;
import io.millrace.shared.log.kafka.TopicPlan;
import io.millrace.shared.topic.Topic;
import io.millrace.standalone.broker.BrokerSettings;
import io.millrace.standalone.broker.EmbeddedBroker;
import io.millrace.standalone.cli.CommandLines;
import io.millrace.standalone.parts.Part;
import io.millrace.standalone.parts.PartsApplication;
import io.millrace.standalone.parts.Role;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.net.HttpURLConnection;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourceType;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.json.JsonMapper;

/** Every part with an account of its own, on a broker that asks for passwords and lets each do what docs/security.md says, and no more. */
@Tag("long")
@Timeout(300)
class SecuredKafkaTest {

    @TempDir
    static Path dir;

    private static EmbeddedBroker broker;

    @BeforeAll
    static void start() throws Exception {
        StringBuilder users = new StringBuilder("org.apache.kafka.common.security.plain.PlainLoginModule required"
                + " username=\"admin\" password=\"admin-secret\" user_admin=\"admin-secret\"");
        for (TopicAccess part : TopicAccess.values()) {
            users.append(" user_%1$s=\"%1$s-secret\"".formatted(name(part)));
        }
        broker = EmbeddedBroker.start(
                BrokerSettings.local(dir.resolve("kafka"), 0),
                "SASL_PLAINTEXT",
                Map.of(
                        "sasl.enabled.mechanisms", "PLAIN",
                        "sasl.mechanism.inter.broker.protocol", "PLAIN",
                        "listener.name.sasl_plaintext.plain.sasl.jaas.config", users + ";",
                        "authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
                        "super.users", "User:admin;User:ANONYMOUS",
                        "allow.everyone.if.no.acl.found", "false"));
        TopicAdmin.ensure(settings("admin"), TopicPlan.defaults(), Duration.ofSeconds(60));
        try (Admin admin = Admin.create(clientProperties("admin"))) {
            admin.createAcls(documented()).all().get(30, TimeUnit.SECONDS);
        }
    }

    @AfterAll
    static void stop() {
        if (broker != null) {
            broker.close();
        }
    }

    private static String name(TopicAccess part) {
        return part.name().toLowerCase(Locale.ROOT);
    }

    /** The ACLs of the table of docs/security.md. */
    private static List<AclBinding> documented() throws Exception {
        List<AclBinding> acls = new ArrayList<>();
        List<String> parts = new ArrayList<>();
        for (String line : Files.readAllLines(Path.of("../docs/security.md"))) {
            String[] cells = line.split("\\|");
            if (cells.length != 4 || !cells[1].strip().matches("`(gateway|router|worker|tools)`")) {
                continue;
            }
            String part = cells[1].strip().replace("`", "");
            parts.add(part);
            for (AclOperation each : List.of(AclOperation.DESCRIBE, AclOperation.DESCRIBE_CONFIGS)) {
                acls.add(acl(part, each, new ResourcePattern(ResourceType.TOPIC, "millrace.", PatternType.PREFIXED)));
            }
            add(acls, part, AclOperation.READ, cells[2]);
            add(acls, part, AclOperation.WRITE, cells[3]);
        }
        assertThat(parts).containsExactly("gateway", "router", "worker", "tools");
        return acls;
    }

    private static void add(List<AclBinding> acls, String part, AclOperation operation, String topics) {
        for (String topic : topics.strip().replace("`", "").split(", ")) {
            assertThat(Topic.values()).extracting(Topic::baseName).contains(topic);
            acls.add(acl(
                    part,
                    operation,
                    new ResourcePattern(ResourceType.TOPIC, "millrace." + topic, PatternType.LITERAL)));
        }
    }

    private static AclBinding acl(String part, AclOperation operation, ResourcePattern pattern) {
        return new AclBinding(pattern, new AccessControlEntry("User:" + part, "*", operation, AclPermissionType.ALLOW));
    }

    private static Map<String, Object> clientProperties(String user) {
        Map<String, Object> properties = new HashMap<>(security(user, user + "-secret"));
        properties.put("bootstrap.servers", broker.bootstrap());
        return properties;
    }

    private static Map<String, String> security(String user, String password) {
        return Map.of(
                "security.protocol",
                "SASL_PLAINTEXT",
                "sasl.mechanism",
                "PLAIN",
                "sasl.jaas.config",
                "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"%s\" password=\"%s\";"
                        .formatted(user, password));
    }

    private static KafkaSettings settings(String user) {
        return new KafkaSettings(
                broker.bootstrap(),
                "test",
                "millrace.",
                Duration.ofSeconds(30),
                64 << 20,
                security(user, user + "-secret"));
    }

    private static PartsApplication part(Role role, String user, String password) {
        Map<String, Object> flags = new HashMap<>(Map.of(
                "server.port",
                0,
                "millrace.kafka.bootstrap-servers",
                broker.bootstrap(),
                "millrace.worker.models[0]",
                "mock:alpha"));
        security(user, password).forEach((name, value) -> flags.put("millrace.kafka.client." + name, value));
        return PartsApplication.start(
                EnumSet.of(role), flags, Map.of(), CompletableFuture.completedFuture(null), line -> {});
    }

    private static PartsApplication part(Role role) throws Exception {
        String user = role.name().toLowerCase(Locale.ROOT);
        PartsApplication application = part(role, user, user + "-secret");
        for (Part each : application.parts()) {
            each.started().get(60, TimeUnit.SECONDS);
        }
        return application;
    }

    @Test
    void theWholeSystemWorksWithTheDocumentedAclsAndNoOthers() throws Exception {
        try (var router = part(Role.ROUTER);
                var worker = part(Role.WORKER);
                var gateway = part(Role.GATEWAY)) {
            assertThat(List.of(router, worker)).isNotEmpty();
            String url = "http://127.0.0.1:" + gateway.port();
            SystemUnderTest.awaitServed(url, "alpha");
            var answer = SystemUnderTest.send(
                    url + "/v1/responses",
                    "{\"model\":\"alpha\",\"input\":\"hi\",\"max_output_tokens\":5,\"ignore_eos\":true}");
            assertThat(answer.statusCode()).as(answer.body()).isEqualTo(200);
            String id = new JsonMapper().readTree(answer.body()).path("id").asString();
            Processes.await("the stored response", () -> status(url + "/v1/responses/" + id) == 200);
            assertThat(status(url + "/cluster")).isEqualTo(200);
            assertThat(status(url + "/v1/files")).isEqualTo(200);

            assertThat(run("tools", "replay", id)).contains("equal: 1 choice, 5 tokens");
            assertThat(run("tools", "dead-letters", "list")).contains("There are no dead letters");
            assertThat(run("tools", "trace", id)).contains("alpha");
            // Another part's account does not open what is not its own.
            assertThat(run("worker", "trace", id)).contains("MR-").doesNotContain("finished");
        }
    }

    /** The status alone: the cluster's events have no end. */
    private static int status(String url) {
        HttpURLConnection connection = null;
        try {
            connection = (HttpURLConnection) URI.create(url).toURL().openConnection();
            connection.setReadTimeout(20_000);
            return connection.getResponseCode();
        } catch (IOException e) {
            return 0;
        } finally {
            if (connection != null) {
                connection.disconnect();
            }
        }
    }

    private static String run(String user, String... args) {
        List<String> all = new ArrayList<>(List.of(args));
        all.addAll(List.of("--kafka", broker.bootstrap(), "--patience", "20"));
        security(user, user + "-secret")
                .forEach((name, value) -> all.addAll(List.of("--set", "millrace.kafka.client." + name + "=" + value)));
        var out = new ByteArrayOutputStream();
        CommandLines.run(all.toArray(String[]::new), new PrintStream(out), new PrintStream(out));
        return out.toString(StandardCharsets.UTF_8);
    }

    @Test
    void aPartWithAnothersAccountIsRefusedAndHearsWhatItLacks() {
        refused(
                Role.WORKER,
                "gateway",
                "gateway-secret",
                "it lacks",
                "WRITE millrace.responses",
                "WRITE millrace.workers");
        refused(Role.ROUTER, "worker", "worker-secret", "READ millrace.checkpoints", "WRITE millrace.dead-letters");
        refused(Role.WORKER, "worker", "wrong", "Authentication failed");
    }

    private static void refused(Role role, String user, String password, String... says) {
        try (var application = part(role, user, password)) {
            for (Part each : application.parts()) {
                assertThatThrownBy(() -> each.started().get(60, TimeUnit.SECONDS))
                        .isInstanceOf(ExecutionException.class)
                        .cause()
                        .hasMessageContainingAll(says)
                        .isInstanceOfSatisfying(
                                MillraceException.class,
                                e -> assertThat(e.code()).isEqualTo("MR-LOG-011"));
            }
        }
    }

    @Test
    void anAppendThatKafkaForbidsFailsWithACode() {
        try (KafkaLog log = new KafkaLog(settings("worker"))) {
            assertThat(log.append(Topic.CHECKPOINTS, 0, "0", new byte[1]))
                    .failsWithin(Duration.ofSeconds(60))
                    .withThrowableOfType(ExecutionException.class)
                    .withMessageContaining("MR-LOG-");
        }
    }
}

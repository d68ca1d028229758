package io.millrace.standalone.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;

import io.millrace.standalone.config.AllProperties;
import io.millrace.standalone.telemetry.Dashboards;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.springframework.boot.convert.DurationStyle;
import org.springframework.core.env.MapPropertySource;
import org.springframework.core.env.StandardEnvironment;
import org.yaml.snakeyaml.Yaml;
import picocli.CommandLine;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** compose.yaml, the Dockerfile and the manifests of deploy/kubernetes say what the program understands, and fit each other. */
class DeploymentFilesTest {

    private static final Path ROOT = Dashboards.ROOT;
    private static final Path MANIFESTS = ROOT.resolve("deploy/kubernetes");
    private static final JsonMapper JSON = new JsonMapper();
    /** Read by others than us, or by the files themselves. */
    private static final Set<String> OF_OTHERS = Set.of(
            "DJL_CACHE_DIR",
            "JAVA_HOME",
            "KAFKA",
            "MODEL",
            "OPT_OUT_TRACKING",
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "PATH",
            "SPRING_CONFIG_ADDITIONALLOCATION");
    /** What a worker may take beyond its drain, as {@link RoleCommands} gives it. */
    private static final int BEYOND_DRAIN_S = 10;

    private static List<JsonNode> documents(Path file) throws IOException {
        List<JsonNode> all = new ArrayList<>();
        for (Object each : new Yaml().loadAll(Files.readString(file))) {
            all.add(JSON.valueToTree(each));
        }
        return all;
    }

    private static List<JsonNode> manifests(String kind) throws IOException {
        List<JsonNode> all = new ArrayList<>();
        try (Stream<Path> tree = Files.walk(MANIFESTS)) {
            for (Path file : tree.filter(each -> each.toString().endsWith(".yaml"))
                    .sorted()
                    .toList()) {
                for (JsonNode document : documents(file)) {
                    if (document.path("kind").asString().equals(kind)) {
                        all.add(document);
                    }
                }
            }
        }
        assertThat(all).as(kind).isNotEmpty();
        return all;
    }

    private static Stream<JsonNode> stream(JsonNode node) {
        return node.valueStream();
    }

    private static void checkVariables(String where, Map<String, Object> variables) {
        var ours = new TreeMap<>(variables);
        ours.keySet().removeAll(OF_OTHERS);
        var environment = new StandardEnvironment();
        environment.getPropertySources().addFirst(new MapPropertySource(where, ours));
        assertThatCode(() -> AllProperties.unknown().check(environment))
                .as(where)
                .doesNotThrowAnyException();
        assertThat(ours.keySet()).as(where).allMatch(name -> name.startsWith("MILLRACE_"));
    }

    private static void checkCommand(String where, JsonNode arguments) {
        CommandLine commands = CommandLines.create(
                new PrintStream(OutputStream.nullOutputStream()), new PrintStream(OutputStream.nullOutputStream()));
        String[] all = stream(arguments).map(JsonNode::asString).toArray(String[]::new);
        assertThatCode(() -> commands.parseArgs(all)).as(where).doesNotThrowAnyException();
    }

    @Test
    void composeSaysOnlyWhatTheProgramUnderstands() throws IOException {
        JsonNode services = documents(ROOT.resolve("compose.yaml")).getFirst().path("services");
        int ours = 0;
        for (var service : services.properties()) {
            if (service.getValue().path("image").asString().contains("MILLRACE_IMAGE")) {
                ours++;
                checkCommand(service.getKey(), service.getValue().path("command"));
                Map<String, Object> variables = new TreeMap<>();
                service.getValue().path("environment").properties().forEach(e -> variables.put(e.getKey(), ""));
                checkVariables(service.getKey(), variables);
            }
        }
        assertThat(ours).isEqualTo(8);
    }

    @Test
    void theDockerfileSetsVariablesThatSomebodyReads() throws IOException {
        Map<String, Object> variables = new TreeMap<>();
        Pattern.compile("([A-Z_]+)=/")
                .matcher(Files.readString(ROOT.resolve("Dockerfile")))
                .results()
                .forEach(match -> variables.put(match.group(1), ""));
        assertThat(variables).containsKey("MILLRACE_CACHE");
        checkVariables("Dockerfile", variables);
    }

    @Test
    void composeGivesWorkersTimeToDrain() throws IOException {
        JsonNode services = documents(ROOT.resolve("compose.yaml")).getFirst().path("services");
        for (String worker : List.of("worker", "worker-gpu")) {
            Duration grace = DurationStyle.detectAndParse(
                    services.path(worker).path("stop_grace_period").asString());
            assertThat(grace).as(worker).isGreaterThan(Duration.ofSeconds(5 + BEYOND_DRAIN_S));
        }
    }

    @Test
    void everyPodOfOursIsUnderstoodAndConfined() throws IOException {
        List<JsonNode> deployments = manifests("Deployment");
        assertThat(deployments).hasSize(4);
        Properties health = new Properties();
        health.load(getClass().getResourceAsStream("/application.properties"));
        for (JsonNode deployment : deployments) {
            String name = deployment.path("metadata").path("name").asString();
            JsonNode template = deployment.path("spec").path("template");
            JsonNode pod = template.path("spec");
            JsonNode container = pod.path("containers").path(0);
            checkCommand(name, container.path("args"));
            checkVariables(name, variables(container));
            assertThat(deployment.path("spec").path("selector").path("matchLabels"))
                    .as(name)
                    .isEqualTo(template.path("metadata").path("labels"));
            // Else the names of services would come as properties that nobody knows.
            assertThat(pod.path("enableServiceLinks").asBoolean(true)).as(name).isFalse();
            checkProbes(name, container, health);
            checkConfined(name, pod, container);
            checkDrain(name, pod, container);
        }
    }

    private static Map<String, Object> variables(JsonNode container) throws IOException {
        Map<String, Object> variables = new TreeMap<>();
        stream(container.path("env"))
                .forEach(each -> variables.put(
                        each.path("name").asString(), each.path("value").asString("")));
        for (JsonNode settings : manifests("ConfigMap")) {
            String name = settings.path("metadata").path("name").asString();
            stream(container.path("envFrom"))
                    .filter(from ->
                            from.path("configMapRef").path("name").asString().equals(name))
                    .forEach(from -> settings.path("data")
                            .properties()
                            .forEach(entry -> variables.putIfAbsent(
                                    entry.getKey(), entry.getValue().asString())));
        }
        assertThat(variables).containsKey("MILLRACE_LOG_FORMAT");
        return variables;
    }

    private static void checkProbes(String name, JsonNode container, Properties health) {
        JsonNode port = container.path("ports").path(0);
        for (String probe : List.of("startup", "liveness", "readiness")) {
            JsonNode get = container.path(probe + "Probe").path("httpGet");
            assertThat(get.path("path").asString()).as(name).isEqualTo("/actuator/health/" + probe);
            assertThat(get.path("port")).as(name).isEqualTo(port.path("name"));
            if (!probe.equals("liveness")) { // Spring's own.
                assertThat(health.stringPropertyNames())
                        .contains("management.endpoint.health.group." + probe + ".include");
            }
        }
        assertThat(stream(container.path("args")).map(JsonNode::asString).toList())
                .as(name)
                .contains(port.path("containerPort").asString());
    }

    private static void checkConfined(String name, JsonNode pod, JsonNode container) {
        assertThat(pod.path("securityContext").path("runAsNonRoot").asBoolean())
                .as(name)
                .isTrue();
        JsonNode confined = container.path("securityContext");
        assertThat(confined.path("readOnlyRootFilesystem").asBoolean()).as(name).isTrue();
        assertThat(confined.path("allowPrivilegeEscalation").asBoolean(true))
                .as(name)
                .isFalse();
        assertThat(confined.path("capabilities").path("drop").path(0).asString())
                .as(name)
                .isEqualTo("ALL");
        for (String resource : List.of("cpu", "memory")) {
            assertThat(container.path("resources").path("requests").has(resource))
                    .as(name)
                    .isTrue();
        }
        Set<String> mounted = new TreeSet<>();
        stream(container.path("volumeMounts"))
                .forEach(each -> mounted.add(each.path("name").asString()));
        assertThat(stream(pod.path("volumes")).map(each -> each.path("name").asString()))
                .as(name)
                .containsExactlyInAnyOrderElementsOf(mounted);
    }

    private static void checkDrain(String name, JsonNode pod, JsonNode container) throws IOException {
        int pause = container
                .path("lifecycle")
                .path("preStop")
                .path("exec")
                .path("command")
                .path(2)
                .asInt(0);
        Object drain = variables(container).get("MILLRACE_WORKER_DRAINGRACE");
        long wanted = drain == null
                ? pause + 3
                : DurationStyle.detectAndParse(drain.toString()).toSeconds() + BEYOND_DRAIN_S;
        assertThat(pod.path("terminationGracePeriodSeconds").asLong()).as(name).isGreaterThan(wanted);
        assertThat(drain != null).as(name).isEqualTo(name.contains("worker"));
    }

    @Test
    void budgetsAndScalersNameWhatThereIs() throws IOException {
        Set<String> deployments = new TreeSet<>();
        manifests("Deployment")
                .forEach(each ->
                        deployments.add(each.path("metadata").path("name").asString()));
        Set<String> budgeted = new TreeSet<>();
        for (JsonNode budget : manifests("PodDisruptionBudget")) {
            budgeted.add(budget.path("spec")
                    .path("selector")
                    .path("matchLabels")
                    .path("app.kubernetes.io/name")
                    .asString());
        }
        assertThat(budgeted).isEqualTo(deployments);
        for (String kind : List.of("HorizontalPodAutoscaler", "ScaledObject")) {
            for (JsonNode scaler : manifests(kind)) {
                assertThat(deployments)
                        .contains(scaler.path("spec")
                                .path("scaleTargetRef")
                                .path("name")
                                .asString());
            }
        }
        String metrics = Files.readString(ROOT.resolve("docs/metrics.md"));
        for (JsonNode trigger :
                manifests("ScaledObject").getFirst().path("spec").path("triggers")) {
            String query = trigger.path("metadata").path("query").asString();
            assertThat(Dashboards.metrics(query)).isNotEmpty().allMatch(name -> metrics.contains("| `" + name + "` |"));
        }
    }

    @Test
    void kustomizationsNameFilesThatAreThereAndLeaveNoneOut() throws IOException {
        Set<Path> named = new TreeSet<>();
        Set<Path> there = new TreeSet<>();
        try (Stream<Path> tree = Files.walk(MANIFESTS)) {
            for (Path file :
                    tree.filter(each -> each.toString().endsWith(".yaml")).toList()) {
                if (!file.endsWith("kustomization.yaml")) {
                    there.add(file);
                    continue;
                }
                JsonNode kustomization = documents(file).getFirst();
                for (String list : List.of("resources", "components")) {
                    stream(kustomization.path(list)).forEach(each -> {
                        Path path = file.resolveSibling(each.asString()).normalize();
                        assertThat(path).exists();
                        if (!Files.isDirectory(path)) {
                            named.add(path);
                        }
                    });
                }
            }
        }
        assertThat(named).isEqualTo(there);
    }
}

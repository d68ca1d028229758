package io.millrace.standalone.system;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.standalone.telemetry.Dashboards;
import io.millrace.standalone.telemetry.RealTools;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The manifests of deploy/kubernetes against the schemas of Kubernetes, KEDA and Strimzi, and put together by kustomize. */
@Tag("long")
@Timeout(240)
class ManifestSchemaTest {

    private static final Path MANIFESTS = Dashboards.ROOT.resolve("deploy/kubernetes");

    @TempDir
    Path dir;

    @Test
    void everyManifestFitsItsSchema() throws Exception {
        ClientPrograms programs = ClientPrograms.install(Map.of("MANIFESTS", MANIFESTS.toString()));

        Map<String, String> checks = programs.node("manifests.mjs");

        assertThat(checks).hasSizeGreaterThan(15).containsKey("ScaledObject millrace-worker");
        assertThat(checks.values()).containsOnly("ok");
    }

    @ParameterizedTest
    @CsvSource({"base,8", "example,17"})
    void kustomizePutsThemTogether(String folder, int count) throws Exception {
        Path kustomize = RealTools.require("ManifestSchemaTest", "kustomize").getFirst();
        Path out = dir.resolve("out.yaml");
        Process process = new ProcessBuilder(
                        kustomize.toString(), "build", MANIFESTS.resolve(folder).toString())
                .redirectErrorStream(true)
                .redirectOutput(out.toFile())
                .start();
        assertThat(process.waitFor(60, TimeUnit.SECONDS)).isTrue();
        String said = Files.readString(out, StandardCharsets.UTF_8);
        assertThat(process.exitValue()).as(said).isZero();
        assertThat(said.lines().filter(line -> line.startsWith("kind: "))).hasSize(count);
    }
}

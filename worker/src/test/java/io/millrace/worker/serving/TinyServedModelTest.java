package io.millrace.worker.serving;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import io.millrace.shared.error.MillraceException;
import io.millrace.shared.proto.ChatInput;
import io.millrace.shared.proto.Sampling;
import io.millrace.shared.proto.Submit;
import io.millrace.shared.proto.TokenIds;
import io.millrace.shared.proto.ToolUse;
import io.millrace.worker.backend.cpu.CpuSettings;
import io.millrace.worker.journal.Preparation;
import io.millrace.worker.model.GgufEdit;
import io.millrace.worker.model.Golden;
import io.millrace.worker.model.gguf.GgufFile;
import io.millrace.worker.model.weights.WeightTensor;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

@Timeout(120)
class TinyServedModelTest {

    private static final ModelOptions OPTIONS =
            ModelOptions.DEFAULT.withEngine("torch").withKvMemoryBytes(64L << 20);

    private static ServedModel load(Path path) {
        return ModelHost.fromEnvironment().load(path.toString(), OPTIONS, ModelProgress.NONE);
    }

    private static List<Integer> ints(JsonNode array) {
        List<Integer> ints = new ArrayList<>();
        array.values().forEach(v -> ints.add(v.asInt()));
        return ints;
    }

    @ParameterizedTest
    @ValueSource(strings = {"tiny-llama-f16", "tiny-llama-mixed"})
    void a_gguf_file_is_served_with_its_own_vocabulary_and_template(String name) {
        JsonNode golden = Golden.json("gguf/" + name + ".json");
        try (ServedModel model = load(Golden.path("gguf/" + name + ".gguf"))) {
            assertThat(model.name()).isEqualTo(name);
            Submit chat = Submit.newBuilder()
                    .setChat(ChatInput.newBuilder()
                            .setMessagesJson(golden.get("chat").get("messages").toString())
                            .setAddGenerationPrompt(true))
                    .build();
            assertThat(model.prepare("k", chat, List.of(new int[0]), new boolean[1], false))
                    .isInstanceOfSatisfying(
                            Preparation.Ready.class,
                            r -> assertThat(r.request().promptIds())
                                    .containsExactly(ints(golden.get("chat").get("ids")).stream()
                                            .mapToInt(Integer::intValue)
                                            .toArray()));
            JsonNode prompt = golden.get("prompts").get(1);
            Submit ids = Submit.newBuilder()
                    .setPromptIds(TokenIds.newBuilder().addAllIds(ints(prompt.get("ids"))))
                    .setDeadlineMs(Long.MAX_VALUE)
                    .setN(1)
                    .setSampling(Sampling.newBuilder()
                            .setTemperature(0)
                            .setMaxTokens(32)
                            .setIgnoreEos(true))
                    .build();
            assertThat(Collected.run(model, "g", ids).ids()).isEqualTo(ints(prompt.get("greedy")));
        }
    }

    @Test
    void a_split_gguf_model_is_served_whole(@TempDir Path folder) throws IOException {
        List<Path> parts = GgufEdit.split(Golden.path("gguf/tiny-llama-f16.gguf"), folder, "tiny", 3);
        JsonNode prompt = Golden.json("gguf/tiny-llama-f16.json").get("prompts").get(1);
        try (ServedModel model = load(parts.get(1))) {
            assertThat(model.name()).isEqualTo("tiny");
            Submit ids = Submit.newBuilder()
                    .setPromptIds(TokenIds.newBuilder().addAllIds(ints(prompt.get("ids"))))
                    .setDeadlineMs(Long.MAX_VALUE)
                    .setN(1)
                    .setSampling(Sampling.newBuilder()
                            .setTemperature(0)
                            .setMaxTokens(32)
                            .setIgnoreEos(true))
                    .build();
            assertThat(Collected.run(model, "g", ids).ids()).isEqualTo(ints(prompt.get("greedy")));
        }
    }

    @Test
    void products_of_the_library_want_the_cuda_engine() {
        ModelOptions options = OPTIONS.withCpu(CpuSettings.of("auto", false, "", "library"));
        String model = Golden.path("gguf/tiny-llama-f16.gguf").toString();
        MillraceException e = catchThrowableOfType(
                MillraceException.class, () -> ModelHost.fromEnvironment().load(model, options, ModelProgress.NONE));
        assertThat(e.code()).isEqualTo("MR-SERVE-013");
        assertThat(e.getMessage()).contains("--engine cuda");
    }

    @Test
    void of_a_broken_vocabulary_and_broken_weights_the_vocabulary_is_told(@TempDir Path folder) throws IOException {
        try (GgufFile file = GgufFile.open(Golden.path("gguf/tiny-llama-f16.gguf"))) {
            Map<String, Object> metadata = new LinkedHashMap<>(file.metadata());
            List<WeightTensor> tensors = new ArrayList<>(file.tensors());
            WeightTensor last = tensors.removeLast();
            byte[] ones = new byte[(int) last.data().byteSize()];
            Arrays.fill(ones, (byte) -1);
            tensors.add(last.of(last.dtype(), last.shape(), MemorySegment.ofArray(ones)));
            GgufEdit.write(folder.resolve("weights.gguf"), metadata, tensors);
            List<String> tokens = new ArrayList<>(file.strings("tokenizer.ggml.tokens"));
            tokens.set(5, tokens.get(4));
            metadata.put("tokenizer.ggml.tokens", tokens);
            GgufEdit.write(folder.resolve("both.gguf"), metadata, tensors);
        }
        assertThat(code(folder.resolve("weights.gguf"))).isEqualTo("MR-WEIGHTS-006");
        assertThat(code(folder.resolve("both.gguf"))).isEqualTo("MR-TEXT-002");
    }

    private static String code(Path path) {
        return catchThrowableOfType(MillraceException.class, () -> load(path)).code();
    }

    @Test
    void a_loaded_model_tells_what_each_part_took() {
        try (ServedModel model = load(Golden.path("gguf/tiny-llama-f16.gguf"))) {
            LoadTimes times = model.loadTimes();
            assertThat(times.parts())
                    .extracting(LoadTimes.Part::name)
                    .contains("files", "tokenizer", "templates", "weights");
            assertThat(times.parts())
                    .allSatisfy(part -> assertThat(part.startNanos() + part.nanos())
                            .isBetween(part.startNanos(), times.totalNanos()));
            assertThat(times.toString()).containsPattern(" ms \\(.*\\bfiles \\d");
        }
    }

    @Test
    void a_folder_without_tokenizer_says_so_before_weights_are_loaded() {
        MillraceException e =
                catchThrowableOfType(MillraceException.class, () -> load(Golden.path("models/llama-tiny")));
        assertThat(e.code()).isEqualTo("MR-TEXT-004");
        assertThat(e.getMessage()).contains("tokenizer.json");
    }

    @Test
    void a_folder_is_served_with_its_tokenizer_template_and_defaults(@TempDir Path folder) throws IOException {
        modelFolder(folder, VOCABULARY);
        Files.writeString(folder.resolve("chat_template.jinja"), "{% for m in messages %}{{ m.content }}{% endfor %}!");
        Files.writeString(folder.resolve("generation_config.json"), "{\"temperature\": 0}");
        JsonNode prompt =
                Golden.json("models/llama-tiny/golden.json").get("prompts").get(2);
        try (ServedModel model = load(folder)) {
            Submit.Builder ids = Submit.newBuilder()
                    .setPromptIds(TokenIds.newBuilder().addAllIds(ints(prompt.get("ids"))))
                    .setDeadlineMs(Long.MAX_VALUE)
                    .setN(1)
                    .setSampling(Sampling.newBuilder().setMaxTokens(32).setIgnoreEos(true));
            assertThat(Collected.run(model, "g", ids.build()).ids()).isEqualTo(ints(prompt.get("greedy")));
            int[] chat = ((Preparation.Ready) prepared(model, "AB")).request().promptIds();
            assertThat(chat).isEqualTo(model.tokenizer().encode("AB!", false, true));
            assertThat(model.tokenizer().vocabularySize()).isGreaterThan(VOCABULARY);
            Submit beyond = Submit.newBuilder()
                    .setPromptIds(TokenIds.newBuilder().addIds(VOCABULARY))
                    .build();
            assertThat(model.prepare("k", beyond, List.of(new int[0]), new boolean[1], false))
                    .isInstanceOfSatisfying(
                            Preparation.Refused.class,
                            r -> assertThat(r.message()).contains("0 to 383"));
        }
    }

    @Test
    void a_tokenizer_of_another_model_is_refused_and_a_smaller_one_is_padding(@TempDir Path folder) throws IOException {
        modelFolder(folder, VOCABULARY + 1);
        MillraceException e = catchThrowableOfType(MillraceException.class, () -> load(folder));
        assertThat(e.code()).isEqualTo("MR-MODEL-005");
        assertThat(e.getMessage())
                .contains(folder.toString(), "model.embed_tokens.weight has 384 rows", "without one is 384");
        Files.writeString(folder.resolve("tokenizer.json"), tokenizer(280));
        assertThat(catchThrowableOfType(MillraceException.class, () -> load(folder)))
                .hasMessageContaining("only 286 tokens")
                .hasFieldOrPropertyWithValue("code", "MR-MODEL-005");
        Files.writeString(folder.resolve("tokenizer.json"), tokenizer(300));
        JsonNode prompt =
                Golden.json("models/llama-tiny/golden.json").get("prompts").get(2);
        try (ServedModel model = load(folder)) {
            Submit ids = Submit.newBuilder()
                    .setPromptIds(TokenIds.newBuilder().addAllIds(ints(prompt.get("ids"))))
                    .setDeadlineMs(Long.MAX_VALUE)
                    .setN(1)
                    .setSampling(Sampling.newBuilder()
                            .setTemperature(0)
                            .setMaxTokens(32)
                            .setIgnoreEos(true))
                    .build();
            assertThat(ints(prompt.get("greedy"))).anyMatch(id -> id >= 306);
            assertThat(Collected.run(model, "g", ids).ids()).isEqualTo(ints(prompt.get("greedy")));
        }
    }

    /** The checkpoint of {@code llama-tiny} with such a tokenizer. */
    private static void modelFolder(Path folder, int size) throws IOException {
        for (String file : List.of("config.json", "model.safetensors")) {
            Files.copy(Golden.path("models/llama-tiny/" + file), folder.resolve(file));
        }
        Files.writeString(folder.resolve("tokenizer.json"), tokenizer(size));
    }

    @Test
    void template_errors_are_answered_with_400(@TempDir Path folder) throws IOException {
        modelFolder(folder, VOCABULARY - 6);
        Files.writeString(
                folder.resolve("tokenizer_config.json"),
                "{\"bos_token\": \"<|begin_of_text|>\", \"eos_token\": null, \"pad_token\": \"<|eot_id|>\"}");
        Files.writeString(folder.resolve("chat_template.jinja"), """
                {%- set said = messages[0].content -%}
                {%- macro again(x) -%}{{ again(x) }}{%- endmacro -%}
                {%- if said == 'raise' -%}{{ raise_exception('no such role') }}
                {%- elif said == 'undefined' -%}{{ messages[0].nothing.more }}
                {%- elif said == 'loop' -%}{%- for a in range(99999) -%}{%- for b in range(99999) -%}{%- endfor -%}{%- endfor -%}
                {%- elif said == 'huge' -%}{%- for a in range(99999) -%}{{ 'x' * 9999 }}{%- endfor -%}
                {%- elif said == 'deep' -%}{{ again(1) }}
                {%- elif said == 'unsafe' -%}{{ said.__class__.__mro__ }}
                {%- else -%}{{ said }} {{ pad_token }} {{ eos_token is defined }} {{ unk_token is defined }}{%- endif -%}
                """);
        try (ServedModel model = load(folder)) {
            for (String said : List.of("raise", "undefined", "loop", "huge", "deep", "unsafe")) {
                assertThat(prepared(model, said)).as(said).isInstanceOfSatisfying(Preparation.Refused.class, r -> {
                    assertThat(r.status()).isEqualTo(400);
                    assertThat(r.code()).isEqualTo("chat_template_error");
                    assertThat(r.param()).isEqualTo("messages");
                    assertThat(r.message()).contains("The chat template refuses");
                });
            }
            assertThat(((Preparation.Refused) prepared(model, "raise")).message())
                    .contains("no such role");
            int[] chat =
                    ((Preparation.Ready) prepared(model, "{{ 7*7 }}")).request().promptIds();
            assertThat(chat).isEqualTo(model.tokenizer().encode("{{ 7*7 }} <|eot_id|> False False", false, true));
        }
    }

    /** A trained tokenizer cut to its first ordinary tokens, with its control tokens behind them. */
    private static String tokenizer(int size) {
        ObjectNode json = (ObjectNode) Golden.json("tokenizers/trained-llama-bpe/tokenizer.json");
        ObjectNode model = (ObjectNode) json.get("model");
        ObjectNode kept = JsonMapper.shared().createObjectNode();
        model.get("vocab").properties().stream()
                .filter(e -> e.getValue().intValue() < size)
                .forEach(e -> kept.set(e.getKey(), e.getValue()));
        ArrayNode merges = JsonMapper.shared().createArrayNode();
        for (JsonNode merge : model.get("merges")) {
            String joined = merge.isArray()
                    ? merge.get(0).stringValue() + merge.get(1).stringValue()
                    : merge.stringValue().replace(" ", "");
            if (kept.has(joined)) {
                merges.add(merge);
            }
        }
        model.set("vocab", kept);
        model.set("merges", merges);
        int id = size;
        for (JsonNode added : json.get("added_tokens")) {
            ((ObjectNode) added).put("id", id++);
        }
        json.putNull("post_processor");
        return json.toString();
    }

    /** Of llama-tiny. */
    private static final int VOCABULARY = 384;

    private static Preparation prepared(ServedModel model, String content) {
        Submit submit = Submit.newBuilder()
                .setChat(ChatInput.newBuilder()
                        .setMessagesJson("[{\"role\": \"user\", \"content\": \"" + content + "\"}]"))
                .build();
        return model.prepare("k", submit, List.of(new int[0]), new boolean[1], false);
    }

    static List<String> badModels() {
        return StreamSupport.stream(
                        Golden.json("gguf/bad/README.json").get("cases").spliterator(), false)
                .filter(c -> !c.get("expect").asString().equals("accept"))
                .map(c -> c.get("file").asString())
                .toList();
    }

    @ParameterizedTest
    @MethodSource("badModels")
    void no_bad_file_becomes_a_model(String name) {
        MillraceException e = catchThrowableOfType(
                MillraceException.class,
                () -> load(Golden.path("gguf/bad/" + name)).close());
        assertThat(e).isNotNull();
        assertThat(e.getMessage()).contains(name);
    }

    @Test
    void a_context_beyond_the_model_and_a_cache_too_small_are_coded_errors() {
        Path file = Golden.path("gguf/tiny-llama-f16.gguf");
        ModelHost host = ModelHost.fromEnvironment();
        assertThat(catchThrowableOfType(
                                MillraceException.class,
                                () -> host.load(file.toString(), OPTIONS.withMaxModelLen(1 << 20), ModelProgress.NONE))
                        .code())
                .isEqualTo("MR-SERVE-006");
        ModelOptions forced = OPTIONS.withMaxModelLen(4096).withForceMaxModelLen(true);
        try (ServedModel model = host.load(file.toString(), forced, ModelProgress.NONE)) {
            assertThat(model.maxModelLen()).isEqualTo(4096);
        }
        assertThat(catchThrowableOfType(
                                MillraceException.class,
                                () -> host.load(file.toString(), OPTIONS.withKvMemoryBytes(100), ModelProgress.NONE))
                        .code())
                .isEqualTo("MR-MEM-002");
    }

    @Test
    void templates_of_a_folder_are_found_in_each_of_their_places(@TempDir Path folder) throws IOException {
        assertThat(TemplateSource.ofFolder(folder).chat()).isNull();
        Files.writeString(folder.resolve("tokenizer_config.json"), "{\"chat_template\": \"config\"}");
        assertThat(TemplateSource.ofFolder(folder).chat()).isEqualTo("config");
        Files.writeString(
                folder.resolve("tokenizer_config.json"),
                "{\"chat_template\": [{\"name\": \"default\", \"template\": \"d\"},"
                        + " {\"name\": \"tool_use\", \"template\": \"t\"}]}");
        assertThat(TemplateSource.ofFolder(folder).chat()).isEqualTo("d");
        assertThat(TemplateSource.ofFolder(folder).tools()).isEqualTo("t");
        Files.writeString(folder.resolve("chat_template.json"), "{\"chat_template\": \"json\"}");
        assertThat(TemplateSource.ofFolder(folder).chat()).isEqualTo("json");
        Files.writeString(folder.resolve("chat_template.jinja"), "jinja");
        assertThat(TemplateSource.ofFolder(folder).chat()).isEqualTo("jinja");
        assertThat(TemplateSource.ofFolder(folder).tools()).isNull();
        Files.createDirectory(folder.resolve("additional_chat_templates"));
        Files.writeString(folder.resolve("additional_chat_templates/tool_use.jinja"), "more tools");
        Files.writeString(folder.resolve("additional_chat_templates/rag.jinja"), "rag");
        assertThat(TemplateSource.ofFolder(folder).named())
                .isEqualTo(Map.of("default", "jinja", "tool_use", "more tools", "rag", "rag"));
        assertThat(TemplateSource.ofGguf(Map.of(
                                "tokenizer.chat_template", "a",
                                "tokenizer.chat_template.tool_use", "b",
                                "tokenizer.chat_templates", List.of("tool_use")))
                        .named())
                .isEqualTo(Map.of("default", "a", "tool_use", "b"));
    }

    @Test
    void requests_with_tools_get_the_template_for_them(@TempDir Path folder) throws IOException {
        modelFolder(folder, VOCABULARY);
        Path more = Files.createDirectory(folder.resolve("additional_chat_templates"));
        Files.writeString(more.resolve("tool_use.jinja"), "tools {{ tools[0].function.name }}");
        Submit withTools = Submit.newBuilder()
                .setChat(ChatInput.newBuilder()
                        .setMessagesJson("[]")
                        .setToolsJson("[{\"type\": \"function\", \"function\": {\"name\": \"f\"}}]")
                        .setToolUse(ToolUse.newBuilder().setFormat("hermes").addFunctions("f")))
                .build();
        try (ServedModel model = load(folder)) {
            Preparation prepared = model.prepare("k", withTools, List.of(new int[0]), new boolean[1], false);
            assertThat(((Preparation.Ready) prepared).request().promptIds())
                    .isEqualTo(model.tokenizer().encode("tools f", false, true));
            assertThat(prepared(model, "x")).isInstanceOfSatisfying(Preparation.Refused.class, r -> {
                assertThat(r.code()).isEqualTo("no_chat_template");
                assertThat(r.message()).contains("tool_use");
            });
        }
    }

    @Test
    void defaults_are_read_from_the_folder_and_checked(@TempDir Path folder) throws IOException {
        assertThat(GenerationDefaults.ofFolder(folder)).isEqualTo(GenerationDefaults.NONE);
        Files.writeString(folder.resolve("generation_config.json"), "{\"temperature\": 0.6, \"top_k\": 20}");
        assertThat(GenerationDefaults.ofFolder(folder)).isEqualTo(new GenerationDefaults(0.6, 20, 1, 0, 1, 1));
        Files.writeString(folder.resolve("generation_config.json"), "{\"top_p\": 7}");
        assertThat(catchThrowableOfType(MillraceException.class, () -> GenerationDefaults.ofFolder(folder))
                        .code())
                .isEqualTo("MR-SERVE-001");
    }
}

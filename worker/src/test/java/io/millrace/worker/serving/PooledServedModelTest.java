package io.millrace.worker.serving;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;
import static org.assertj.core.api.Assertions.within;

import io.millrace.shared.error.MillraceException;
import io.millrace.shared.proto.PoolingInput;
import io.millrace.shared.proto.PoolingPair;
import io.millrace.shared.proto.PoolingText;
import io.millrace.shared.proto.Submit;
import io.millrace.shared.proto.TokenIds;
import io.millrace.worker.engine.PoolingListener;
import io.millrace.worker.engine.PoolingRequest;
import io.millrace.worker.journal.Preparation;
import io.millrace.worker.model.Golden;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import tools.jackson.databind.JsonNode;

/** Models that pool, from their files to their outputs. */
@Timeout(120)
class PooledServedModelTest {

    private static final int WIDTH = 48;

    static ServedModel load(Path path, String task) {
        return ModelHost.fromEnvironment()
                .load(path.toString(), ModelOptions.DEFAULT.withTask(task).withThreads(1), ModelProgress.NONE);
    }

    private static ServedModel load(String name) {
        return load(Golden.path("encoders/" + name), "auto");
    }

    private static PoolingText text(String text) {
        return PoolingText.newBuilder().setText(text).build();
    }

    private static Submit embed(Consumer<PoolingInput.Builder> change, String... texts) {
        PoolingInput.Builder pooling = PoolingInput.newBuilder();
        for (String text : texts) {
            pooling.addInputs(text(text));
        }
        change.accept(pooling);
        return Submit.newBuilder()
                .setTask(Submit.Task.EMBED)
                .setPooling(pooling)
                .build();
    }

    private static Submit score(List<String> texts, int[]... pairs) {
        PoolingInput.Builder pooling = PoolingInput.newBuilder();
        texts.forEach(t -> pooling.addInputs(text(t)));
        for (int[] pair : pairs) {
            pooling.addPairs(PoolingPair.newBuilder().setFirst(pair[0]).setSecond(pair[1]));
        }
        return Submit.newBuilder()
                .setTask(Submit.Task.SCORE)
                .setPooling(pooling)
                .build();
    }

    private static Preparation prepare(ServedModel model, Submit submit) {
        return model.prepare("k", submit, List.of(new int[0]), new boolean[1], false);
    }

    private static PoolingRequest ready(ServedModel model, Submit submit) {
        if (prepare(model, submit) instanceof Preparation.Pooled pooled) {
            return pooled.request();
        }
        throw new AssertionError(prepare(model, submit).toString());
    }

    static List<float[]> run(ServedModel model, Submit submit) throws Exception {
        Map<Integer, float[]> outputs = new TreeMap<>();
        CompletableFuture<Void> done = new CompletableFuture<>();
        model.engine().pool(ready(model, submit), new PoolingListener() {
            @Override
            public void onOutput(int index, float[] values) {
                outputs.put(index, values);
            }

            @Override
            public void onPooled() {
                done.complete(null);
            }

            @Override
            public void onFailure(String code, String message, boolean retryable) {
                done.completeExceptionally(new AssertionError(code + " " + message));
            }
        });
        done.get(60, TimeUnit.SECONDS);
        return List.copyOf(outputs.values());
    }

    private static Preparation.Refused refused(ServedModel model, Submit submit) {
        if (prepare(model, submit) instanceof Preparation.Refused refused) {
            return refused;
        }
        throw new AssertionError("it was not refused");
    }

    @ParameterizedTest
    @ValueSource(strings = {"bert-tiny", "bert-tiny.gguf", "nomic-tiny", "nomic-tiny.gguf"})
    void texts_become_the_embeddings_of_the_reference(String name) throws Exception {
        String golden = name.replace(".gguf", "");
        float[] expected = Golden.floats("encoders/" + golden + "/mean.f32");
        try (ServedModel model = load(name)) {
            assertThat(model.tasks()).containsExactlyInAnyOrder(Submit.Task.EMBED, Submit.Task.SCORE);
            assertThat(model.maxModelLen()).isEqualTo(160);
            JsonNode texts = Golden.json("encoders/" + golden + "/golden.json").get("texts");
            String[] all = texts.valueStream().map(JsonNode::asString).toArray(String[]::new);
            List<float[]> rows = run(model, embed(p -> {}, all));
            for (int i = 0; i < all.length; i++) {
                assertThat(rows.get(i))
                        .as(all[i])
                        .containsExactly(Arrays.copyOfRange(expected, i * WIDTH, (i + 1) * WIDTH), within(2e-6f));
            }
        }
    }

    @Test
    void a_vocabulary_file_alone_is_enough(@TempDir Path folder) throws Exception {
        copy("bert-tiny", folder);
        Files.delete(folder.resolve("tokenizer.json"));
        try (ServedModel own = load(folder, "auto");
                ServedModel library = load("bert-tiny")) {
            Submit submit = embed(p -> {}, "Why does the river run low today?");
            assertThat(run(own, submit).getFirst())
                    .isEqualTo(run(library, submit).getFirst());
        }
    }

    @Test
    void a_tokenizer_with_tokens_beyond_the_embedding_is_refused(@TempDir Path folder) throws Exception {
        copy("bert-tiny", folder);
        Files.delete(folder.resolve("tokenizer.json"));
        Files.writeString(folder.resolve("vocab.txt"), "beyond\n", StandardOpenOption.APPEND);
        MillraceException e = catchThrowableOfType(MillraceException.class, () -> load(folder, "auto"));
        assertThat(e.code()).isEqualTo("MR-MODEL-005");
        assertThat(e.getMessage()).contains("embeddings.word_embeddings.weight", "beyond");
    }

    static void copy(String name, Path folder) throws IOException {
        Path from = Golden.path("encoders/" + name);
        try (Stream<Path> files = Files.walk(from)) {
            for (Path file : files.toList()) {
                Path to = folder.resolve(from.relativize(file).toString());
                if (Files.isDirectory(file)) {
                    Files.createDirectories(to);
                } else {
                    Files.copy(file, to);
                }
            }
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"bert-cross-tiny", "bert-cross-tiny.gguf"})
    void a_cross_encoder_scores_pairs_by_the_sigmoid_of_its_logit(String name) throws Exception {
        JsonNode golden = Golden.json("encoders/bert-cross-tiny/golden.json");
        float[] logits = Golden.floats("encoders/bert-cross-tiny/logits.f32");
        try (ServedModel model = load(name)) {
            assertThat(model.tasks()).containsExactly(Submit.Task.SCORE);
            List<String> texts = new java.util.ArrayList<>();
            int[][] pairs = new int[logits.length][];
            for (int i = 0; i < logits.length; i++) {
                pairs[i] = new int[] {texts.size(), texts.size() + 1};
                golden.get("pairs").get(i).forEach(t -> texts.add(t.asString()));
            }
            Submit submit = score(texts, pairs);
            PoolingRequest request = ready(model, submit);
            for (int i = 0; i < logits.length; i++) {
                assertThat(request.inputs().get(i).ids())
                        .isEqualTo(ints(golden.get("ids").get(i)));
                assertThat(request.inputs().get(i).types())
                        .isEqualTo(ints(golden.get("types").get(i)));
            }
            List<float[]> scores = run(model, submit);
            for (int i = 0; i < logits.length; i++) {
                assertThat(scores.get(i)[0]).isCloseTo((float) (1 / (1 + Math.exp(-logits[i]))), within(1e-5f));
            }
            assertThat(refused(model, embed(p -> {}, "x")).message())
                    .contains("embed")
                    .contains("tasks are: score");
        }
    }

    private static int[] ints(JsonNode array) {
        return array.valueStream().mapToInt(JsonNode::asInt).toArray();
    }

    @Test
    void a_head_without_sigmoid_gives_its_logit(@TempDir Path folder) throws Exception {
        copy("bert-cross-tiny", folder);
        String config = Files.readString(folder.resolve("config.json"));
        Files.writeString(
                folder.resolve("config.json"),
                config.replaceFirst(
                        "\\{", "{\"sbert_ce_default_activation_function\": \"torch.nn.modules.linear.Identity\","));
        JsonNode pair =
                Golden.json("encoders/bert-cross-tiny/golden.json").get("pairs").get(0);
        try (ServedModel model = load(folder, "auto")) {
            List<String> texts = List.of(pair.get(0).asString(), pair.get(1).asString());
            assertThat(run(model, score(texts, new int[] {0, 1})).getFirst()[0])
                    .isCloseTo(Golden.floats("encoders/bert-cross-tiny/logits.f32")[0], within(1e-5f));
        }
    }

    @Test
    void an_embedding_model_scores_by_cosines() throws Exception {
        try (ServedModel model = load("bert-tiny")) {
            List<String> texts = List.of("the cat", "the dog", "the cat");
            List<float[]> rows = run(model, embed(p -> {}, texts.toArray(String[]::new)));
            List<float[]> scores = run(model, score(texts, new int[] {0, 1}, new int[] {0, 2}));
            double dot = 0;
            for (int i = 0; i < WIDTH; i++) {
                dot += (double) rows.get(0)[i] * rows.get(1)[i];
            }
            assertThat((double) scores.get(0)[0]).isCloseTo(dot, within(1e-6));
            assertThat(scores.get(1)[0]).isCloseTo(1f, within(1e-6f));
        }
    }

    @Test
    void what_does_not_fit_is_refused_with_both_numbers_or_cut_where_that_is_wanted() throws Exception {
        try (ServedModel model = load("bert-tiny")) {
            String far = "rain ".repeat(200);
            Preparation.Refused tooLong = refused(model, embed(p -> {}, "x", far));
            assertThat(tooLong.code()).isEqualTo("context_length_exceeded");
            assertThat(tooLong.param()).isEqualTo("input[1]");
            assertThat(tooLong.message()).contains("160").contains("202");
            int[] cut = ready(model, embed(p -> p.setTruncateTokens(5), far))
                    .inputs()
                    .getFirst()
                    .ids();
            int[] whole = model.tokenizer().encode(far, true, true);
            assertThat(cut).containsExactly(whole[0], whole[1], whole[2], whole[3], whole[whole.length - 1]);
            assertThat(ready(model, embed(p -> p.setTruncateTokens(-1), far))
                            .inputs()
                            .getFirst()
                            .ids())
                    .hasSize(160);
            assertThat(refused(model, embed(p -> p.setTruncateTokens(2), far)).param())
                    .isEqualTo("truncate_prompt_tokens");
            assertThat(refused(model, embed(p -> p.setTruncateTokens(161), far)).message())
                    .contains("3 to 160");
            assertThat(refused(model, embed(p -> p.setDimensions(49), "x")).message())
                    .contains("1 to 48");
            assertThat(run(model, embed(p -> p.setDimensions(7), "x")).getFirst())
                    .hasSize(7);
            assertThat(refused(model, embed(p -> {})).status()).isEqualTo(400);
            String[] many = new String[2049];
            Arrays.fill(many, "x");
            assertThat(refused(model, embed(p -> {}, many)).message())
                    .contains("2049")
                    .contains("2048");
            int[][] pairs = new int[2048][];
            Arrays.setAll(pairs, i -> new int[] {i, i + 1});
            assertThat(ready(model, score(List.of(many), pairs)).outputs()).hasSize(2048);
            assertThat(refused(model, embed(p -> {}, "")).message()).contains("empty");
            PoolingText ids = PoolingText.newBuilder()
                    .setIds(TokenIds.newBuilder().addIds(2).addIds(999))
                    .setField("input[0]")
                    .build();
            assertThat(refused(model, embed(p -> p.addInputs(ids))).message())
                    .contains("999")
                    .contains("255");
            assertThat(refused(model, Submit.newBuilder().setPromptText("x").build())
                            .message())
                    .contains("generate")
                    .contains("tasks are: embed, score");
        }
    }

    @Test
    void token_ids_are_taken_as_they_are() throws Exception {
        JsonNode golden = Golden.json("encoders/bert-tiny/golden.json");
        TokenIds.Builder ids = TokenIds.newBuilder();
        golden.get("ids").get(1).forEach(id -> ids.addIds(id.asInt()));
        try (ServedModel model = load("bert-tiny")) {
            Submit given = embed(p -> p.addInputs(PoolingText.newBuilder().setIds(ids)));
            Submit said = embed(p -> {}, golden.get("texts").get(1).asString());
            assertThat(run(model, given).getFirst()).isEqualTo(run(model, said).getFirst());
        }
    }

    @Test
    void a_decoder_that_its_files_call_an_embedding_model_pools_its_last_token(@TempDir Path folder) throws Exception {
        copy("llama-embed-tiny", folder);
        Files.copy(Golden.path("encoders/bert-tiny/tokenizer.json"), folder.resolve("tokenizer.json"));
        JsonNode golden = Golden.json("encoders/llama-embed-tiny/golden.json");
        float[] expected = Golden.floats("encoders/llama-embed-tiny/last.f32");
        try (ServedModel model = load(folder, "auto")) {
            Submit submit = embed(p -> golden.get("ids")
                    .forEach(ids -> p.addInputs(PoolingText.newBuilder()
                            .setIds(TokenIds.newBuilder()
                                    .addAllIds(ids.valueStream()
                                            .map(JsonNode::asInt)
                                            .toList())))));
            List<float[]> rows = run(model, submit);
            for (int i = 0; i < rows.size(); i++) {
                assertThat(rows.get(i))
                        .containsExactly(Arrays.copyOfRange(expected, i * WIDTH, (i + 1) * WIDTH), within(2e-6f));
            }
        }
    }

    @Test
    void a_decoder_with_a_head_scores(@TempDir Path folder) throws Exception {
        copy("llama-score-tiny", folder);
        Files.copy(Golden.path("encoders/bert-tiny/tokenizer.json"), folder.resolve("tokenizer.json"));
        try (ServedModel model = load(folder, "auto")) {
            assertThat(model.tasks()).containsExactly(Submit.Task.SCORE);
            assertThat(run(model, score(List.of("the cat", "the dog"), new int[] {0, 1}))
                            .getFirst()[0])
                    .isBetween(0f, 1f);
        }
        try (ServedModel model = load(folder, "embed")) {
            assertThat(model.tasks()).contains(Submit.Task.EMBED);
        }
    }

    @Test
    void any_decoder_gives_embeddings_when_it_is_told_to() throws Exception {
        Path file = Golden.path("gguf/tiny-llama-f16.gguf");
        try (ServedModel model = load(file, "embed")) {
            List<float[]> rows = run(model, embed(p -> {}, "hello", "hello world"));
            assertThat(rows).hasSize(2).allSatisfy(row -> {
                double sum = 0;
                for (float v : row) {
                    sum += (double) v * v;
                }
                assertThat(sum).isCloseTo(1, within(1e-5));
            });
        }
    }

    @Test
    void tasks_that_the_files_cannot_serve_are_coded_errors(@TempDir Path folder) throws Exception {
        Path bert = Golden.path("encoders/bert-tiny");
        assertThat(catchThrowableOfType(MillraceException.class, () -> load(bert, "generate"))
                        .code())
                .isEqualTo("MR-SERVE-008");
        assertThat(catchThrowableOfType(MillraceException.class, () -> load(bert, "score"))
                        .code())
                .isEqualTo("MR-SERVE-008");
        assertThat(catchThrowableOfType(MillraceException.class, () -> ModelOptions.DEFAULT.withTask("sing"))
                        .code())
                .isEqualTo("MR-SERVE-007");
        copy("bert-tiny", folder);
        Files.writeString(folder.resolve("modules.json"), "[{\"type\": \"sentence_transformers.models.Dense\"}]");
        MillraceException dense = catchThrowableOfType(MillraceException.class, () -> load(folder, "auto"));
        assertThat(dense.code()).isEqualTo("MR-MODEL-004");
        assertThat(dense.getMessage()).contains("Dense");
        Files.writeString(folder.resolve("modules.json"), "[]");
        Files.writeString(folder.resolve("1_Pooling/config.json"), "{\"pooling_mode_max_tokens\": true}");
        assertThat(catchThrowableOfType(MillraceException.class, () -> load(folder, "auto"))
                        .getMessage())
                .contains("pooling_mode_max_tokens");
        Files.writeString(folder.resolve("1_Pooling/config.json"), "{}");
        String config = Files.readString(folder.resolve("config.json"));
        Files.writeString(folder.resolve("config.json"), config.replace("\"hidden_size\": 48", "\"hidden_size\": 44"));
        assertThat(catchThrowableOfType(MillraceException.class, () -> load(folder, "auto"))
                        .code())
                .isEqualTo("MR-MODEL-003");
        Files.writeString(folder.resolve("config.json"), config.replace("\"gelu\"", "\"gelu_of_the_day\""));
        assertThat(catchThrowableOfType(MillraceException.class, () -> load(folder, "auto"))
                        .code())
                .isEqualTo("MR-MODEL-004");
    }

    @Test
    void the_longest_input_is_what_the_model_is_meant_for_unless_more_of_its_context_is_asked_for(@TempDir Path folder)
            throws Exception {
        copy("bert-tiny", folder);
        Files.writeString(folder.resolve("sentence_bert_config.json"), "{\"max_seq_length\": 64}");
        try (ServedModel model = load(folder, "auto")) {
            assertThat(model.maxModelLen()).isEqualTo(64);
        }
        try (ServedModel model = ModelHost.fromEnvironment()
                .load(folder.toString(), ModelOptions.DEFAULT.withMaxModelLen(160), ModelProgress.NONE)) {
            assertThat(model.maxModelLen()).isEqualTo(160);
        }
    }
}

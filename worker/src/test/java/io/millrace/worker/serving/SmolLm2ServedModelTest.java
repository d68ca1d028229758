package io.millrace.worker.serving;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.shared.proto.ChatInput;
import io.millrace.shared.proto.OutputGrammar;
import io.millrace.shared.proto.Sampling;
import io.millrace.shared.proto.Submit;
import io.millrace.worker.journal.Preparation;
import io.millrace.worker.model.Golden;
import io.millrace.worker.model.TestModels;
import io.millrace.worker.model.hub.ResolvedModel;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

@Timeout(300)
@SuppressWarnings("NullAway.Init") // set by load()
class SmolLm2ServedModelTest {

    private static final ModelOptions OPTIONS =
            ModelOptions.DEFAULT.withEngine("torch").withMaxModelLen(512).withKvMemoryBytes(256L << 20);
    private static final int CASES = 3;

    private static ServedModel model;
    private static final List<String> PROGRESS = new ArrayList<>();

    @BeforeAll
    static void load() {
        Path file = TestModels.smollm2();
        ModelProgress progress = ModelProgress.lines(line -> {
            synchronized (PROGRESS) {
                PROGRESS.add(line);
            }
        });
        model = ModelHost.fromEnvironment().load("smol=" + file, OPTIONS, progress);
    }

    @AfterAll
    static void close() {
        if (model != null) {
            model.close();
        }
    }

    private static List<JsonNode> cases() {
        List<JsonNode> cases = new ArrayList<>();
        Golden.json("smollm2/greedy.json").get("cases").values().forEach(cases::add);
        return cases;
    }

    private static Submit.Builder chat(JsonNode golden) {
        return Submit.newBuilder()
                .setChat(ChatInput.newBuilder()
                        .setMessagesJson(golden.get("messages").toString())
                        .setAddGenerationPrompt(true))
                .setCreatedMs(1_750_000_000_000L)
                .setDeadlineMs(Long.MAX_VALUE)
                .setN(1)
                .setSampling(Sampling.newBuilder()
                        .setTemperature(0)
                        .setMaxTokens(golden.get("greedy").size()));
    }

    private static List<Integer> ints(JsonNode array) {
        List<Integer> ints = new ArrayList<>();
        array.values().forEach(v -> ints.add(v.asInt()));
        return ints;
    }

    @Test
    void every_golden_chat_becomes_its_golden_prompt() {
        for (JsonNode golden : cases()) {
            Preparation prepared = model.prepare("k", chat(golden).build(), List.of(new int[0]), new boolean[1], false);
            assertThat(prepared).isInstanceOfSatisfying(Preparation.Ready.class, r -> {
                List<Integer> ids = new ArrayList<>();
                for (int id : r.request().promptIds()) {
                    ids.add(id);
                }
                assertThat(ids).isEqualTo(ints(golden.get("prompt_ids")));
                assertThat(r.request().stopIds()).contains(2);
            });
        }
    }

    @Test
    void a_chat_goes_on_with_its_golden_text() {
        for (JsonNode golden : cases().subList(0, CASES)) {
            String name = golden.get("name").asString();
            Collected.Output output = Collected.run(model, name, chat(golden).build());
            assertThat(output.text()).as(name).isEqualTo(golden.get("text").asString());
            assertThat(output.ids()).as(name).isEqualTo(ints(golden.get("greedy")));
            assertThat(output.finishReason())
                    .isEqualTo(golden.get("finish").asString().equals("eos") ? "stop" : "length");
        }
    }

    @Test
    void an_answer_by_schema_is_valid() {
        Submit submit = chat(cases().getFirst())
                .setSampling(Sampling.newBuilder()
                        .setTemperature(0)
                        .setMaxTokens(120)
                        .setGrammar(OutputGrammar.newBuilder().setJsonSchema("""
                                {"type":"object","properties":{"topic":{"type":"string","maxLength":40},
                                 "mood":{"enum":["glad","sad"]},"score":{"type":"integer","minimum":0,"maximum":10}},
                                 "required":["topic","mood","score"],"additionalProperties":false}""")))
                .build();
        Collected.Output output = Collected.run(model, "schema", submit);
        JsonNode answer = new JsonMapper().readTree(output.text());
        assertThat(output.finishReason()).isEqualTo("stop");
        assertThat(List.copyOf(answer.propertyNames())).containsExactly("topic", "mood", "score");
        assertThat(answer.path("mood").stringValue()).isIn("glad", "sad");
        assertThat(answer.path("score").intValue()).isBetween(0, 10);
        assertThat(answer.path("topic")
                        .stringValue()
                        .codePointCount(0, answer.path("topic").stringValue().length()))
                .isLessThanOrEqualTo(40);
    }

    @Test
    void megabytes_are_refused_at_once_with_both_numbers() {
        Submit submit =
                Submit.newBuilder().setPromptText("a b ".repeat(2 << 20)).build();
        long start = System.nanoTime();
        Preparation prepared = model.prepare("k", submit, List.of(new int[0]), new boolean[1], false);
        long ms = (System.nanoTime() - start) / 1_000_000;
        assertThat(prepared).isInstanceOfSatisfying(Preparation.Refused.class, r -> {
            assertThat(r.code()).isEqualTo("context_length_exceeded");
            assertThat(r.message()).contains("512 tokens").containsPattern("at least \\d+ tokens");
        });
        assertThat(ms).isLessThan(500);
    }

    @Test
    void the_model_says_what_it_is() {
        assertThat(model.name()).isEqualTo("smol");
        assertThat(model.parameters()).isEqualTo(134_515_008L);
        assertThat(model.dtype()).isEqualTo("f32");
        assertThat(model.maxModelLen()).isEqualTo(512);
        assertThat(model.numericsId()).isNotBlank();
        assertThat(model.weightsHash()).isNotZero();
        assertThat(PROGRESS).anyMatch(line -> line.contains("100 %"));
    }

    @Test
    void its_needs_are_known_without_loading_it() {
        ModelInfo info =
                ModelInfo.describe(new ResolvedModel("smol", List.of(), TestModels.smollm2(), "file"), OPTIONS);
        assertThat(info.architecture()).isEqualTo("llama");
        assertThat(info.parameters()).isEqualTo(134_515_008L);
        assertThat(info.bitsPerWeight()).isBetween(4.5, 6.5);
        assertThat(info.layers()).isEqualTo(30);
        assertThat(info.kvBytesPerToken()).isEqualTo(2L * 30 * 3 * 64 * 4);
        assertThat(info.maxModelLen()).isEqualTo(512);
        assertThat(info.format()).isEqualTo("Q4_1");
        // Every weight as a float32; the embedding also as the output matrix.
        assertThat(java.util.Objects.requireNonNull(info.need()).weightBytes())
                .isEqualTo(4 * (134_515_008L + 49_152 * 576));
        assertThat(info.problem()).isNull();
        assertThat(String.join("\n", info.lines()))
                .contains("135 M parameters", "llama", "context 8,192", "KV cache", "up to 512 tokens");
    }
}

package io.millrace.worker.backend.torch;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.worker.backend.LoadProgress;
import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.backend.torch.PooledModels.Input;
import io.millrace.worker.model.Golden;
import io.millrace.worker.model.config.DecoderConfig;
import io.millrace.worker.model.decoder.Decoder;
import io.millrace.worker.model.decoder.WeightSlot;
import io.millrace.worker.model.encoder.PooledDecoder;
import io.millrace.worker.model.encoder.PooledModel;
import io.millrace.worker.model.safetensors.SafetensorsFolder;
import io.millrace.worker.model.weights.Dequantizer;
import io.millrace.worker.model.weights.WeightSource;
import io.millrace.worker.program.Op;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import tools.jackson.databind.JsonNode;

/** Encoders and pooled decoders against transformers' numbers, and bit for bit against themselves in other batches. */
@Timeout(120)
class PooledGoldenTest {

    private static final int WIDTH = 48;

    @ParameterizedTest
    @CsvSource({
        "bert-tiny, bert-tiny, MEAN",
        "bert-tiny, bert-tiny, FIRST",
        "bert-tiny, bert-tiny, LAST",
        "bert-tiny.gguf, bert-tiny, MEAN",
        "nomic-tiny, nomic-tiny, MEAN",
        "nomic-tiny, nomic-tiny, FIRST",
        "nomic-tiny.gguf, nomic-tiny, MEAN",
        "llama-embed-tiny, llama-embed-tiny, LAST",
        "llama-embed-tiny, llama-embed-tiny, MEAN"
    })
    void embeddings_equal_the_references(String model, String golden, Op.Pool.Kind kind) {
        String file = kind == Op.Pool.Kind.FIRST ? "cls" : kind.name().toLowerCase(Locale.ROOT);
        float[] expected = Golden.floats("encoders/" + golden + "/" + file + ".f32");
        List<Input> inputs = PooledModels.inputs(golden);
        try (ModelRuntime runtime = load(model, kind, 2)) {
            float[][] rows = PooledModels.run(runtime, inputs);
            assertThat(rows).hasDimensions(inputs.size(), WIDTH);
            for (int i = 0; i < rows.length; i++) {
                float[] wanted = Arrays.copyOfRange(expected, i * WIDTH, (i + 1) * WIDTH);
                assertThat(distance(unit(rows[i]), wanted)).as("input %d", i).isLessThan(1e-5);
            }
        }
    }

    /** The last row times the output matrix must be the family's golden logits: windows, caps, experts and all. */
    @ParameterizedTest
    @ValueSource(
            strings = {
                "llama3",
                "mistral",
                "qwen2",
                "qwen3",
                "gemma2",
                "gemma3",
                "phi3",
                "mixtral",
                "qwen3_moe",
                "olmo2",
                "granite"
            })
    void every_family_of_the_decoder_pools(String family) throws Exception {
        String folder = "models/" + family + "-tiny/";
        JsonNode prompts = Golden.json(folder + "golden.json").get("prompts");
        float[] expected = Golden.floats(folder + "logits_last.f32");
        String json = new String(Golden.bytes(folder + "config.json"), StandardCharsets.UTF_8);
        try (WeightSource source = SafetensorsFolder.open(Golden.path("models/" + family + "-tiny"))) {
            Decoder decoder = Decoder.of(DecoderConfig.fromJson(family, json), source);
            Map<String, WeightSlot> slots = decoder.slots();
            WeightSlot output = slots.containsKey("lm_head") ? slots.get("lm_head") : slots.get("embed_tokens");
            float[] matrix = Dequantizer.all(Decoder.stored(source, Objects.requireNonNull(output)));
            PooledModel pooled = PooledDecoder.of(decoder, source, Op.Pool.Kind.LAST, null);
            List<Input> inputs = prompts.valueStream()
                    .map(prompt -> Input.of(GoldenModels.ints(prompt.get("ids"))))
                    .toList();
            float[][] rows;
            try (ModelRuntime runtime = TorchBackend.load(pooled, pooled.contextLength(), 2, LoadProgress.NONE)) {
                rows = PooledModels.run(runtime, inputs);
            }
            float factor = decoder.config().multipliers().logits();
            float cap = decoder.config().softCaps().logits();
            int vocabulary = decoder.vocabularySize();
            for (int i = 0; i < rows.length; i++) {
                for (int v = 0; v < vocabulary; v++) {
                    double logit = 0;
                    for (int j = 0; j < pooled.width(); j++) {
                        logit += (double) rows[i][j] * matrix[v * pooled.width() + j];
                    }
                    logit *= factor;
                    logit = cap == 0 ? logit : Math.tanh(logit / cap) * cap;
                    assertThat(logit)
                            .as("prompt %d, id %d", i, v)
                            .isCloseTo(expected[i * vocabulary + v], org.assertj.core.data.Offset.offset(1e-3));
                }
            }
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"bert-cross-tiny", "bert-cross-tiny.gguf", "xlmr-cross-tiny", "llama-score-tiny"})
    void logits_of_heads_equal_the_references(String model) {
        String folder = model.replace(".gguf", "");
        float[] expected = Golden.floats("encoders/" + folder + "/logits.f32");
        try (ModelRuntime runtime = load(model, Op.Pool.Kind.LAST, 1)) {
            float[][] rows = PooledModels.run(runtime, PooledModels.inputs(folder));
            assertThat(rows).hasDimensions(expected.length, 1);
            for (int i = 0; i < expected.length; i++) {
                assertThat((double) rows[i][0]).isCloseTo(expected[i], org.assertj.core.data.Offset.offset(2e-5));
            }
        }
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "bert-tiny",
                "nomic-tiny",
                "bert-cross-tiny",
                "xlmr-cross-tiny",
                "llama-embed-tiny",
                "llama-score-tiny"
            })
    void a_row_has_the_same_bits_in_every_batch_and_with_any_threads(String model) {
        List<Input> inputs = new ArrayList<>(PooledModels.inputs(model));
        inputs.add(Input.of(7));
        float[][] alone = new float[inputs.size()][];
        try (ModelRuntime runtime = load(model, Op.Pool.Kind.MEAN, 1)) {
            for (int i = 0; i < alone.length; i++) {
                alone[i] = PooledModels.run(runtime, List.of(inputs.get(i)))[0];
            }
        }
        for (int threads : new int[] {1, 2, 3}) {
            try (ModelRuntime runtime = load(model, Op.Pool.Kind.MEAN, threads)) {
                for (int turn = 0; turn < 8; turn++) {
                    Random random = new Random(turn);
                    List<Integer> order = new ArrayList<>();
                    for (int copy = 0; copy <= turn % 4 * 8; copy += 8) {
                        for (int i = 0; i < inputs.size(); i++) {
                            order.add(i);
                        }
                    }
                    Collections.shuffle(order, random);
                    List<Integer> chosen = order.subList(0, 1 + random.nextInt(order.size()));
                    float[][] together = PooledModels.run(
                            runtime, chosen.stream().map(inputs::get).toList());
                    for (int i = 0; i < together.length; i++) {
                        assertThat(together[i])
                                .as("input %d of %s with %d threads", chosen.get(i), chosen, threads)
                                .isEqualTo(alone[chosen.get(i)]);
                    }
                }
            }
        }
    }

    private static ModelRuntime load(String model, Op.Pool.Kind kind, int threads) {
        return switch (model) {
            case "llama-embed-tiny" -> PooledModels.decoder(model, kind, threads, null);
            case "llama-score-tiny" -> PooledModels.decoder(model, Op.Pool.Kind.LAST, threads, "score.weight");
            default -> PooledModels.encoder(model, kind, threads);
        };
    }

    private static float[] unit(float[] row) {
        double sum = 0;
        for (float v : row) {
            sum += (double) v * v;
        }
        float[] unit = new float[row.length];
        for (int i = 0; i < row.length; i++) {
            unit[i] = (float) (row[i] / Math.sqrt(sum));
        }
        return unit;
    }

    private static double distance(float[] a, float[] b) {
        double sum = 0;
        for (int i = 0; i < a.length; i++) {
            sum += (a[i] - b[i]) * (double) (a[i] - b[i]);
        }
        return Math.sqrt(sum);
    }
}

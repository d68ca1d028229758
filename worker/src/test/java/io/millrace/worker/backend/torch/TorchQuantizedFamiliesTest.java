package io.millrace.worker.backend.torch;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.backend.torch.PagedRunner.Sequence;
import io.millrace.worker.backend.torch.PagedRunner.Work;
import io.millrace.worker.model.Golden;
import io.millrace.worker.model.SafetensorsEdit;
import io.millrace.worker.model.safetensors.SafetensorsFolder;
import io.millrace.worker.model.weights.Dequantizer;
import io.millrace.worker.model.weights.WeightTensor;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/** Families whose weights are fused, routed or taken by heads, quantised: the same bits as of their widened weights. */
class TorchQuantizedFamiliesTest {

    private static final String INT8_BY_ROW = """
            {"quant_method": "compressed-tensors", "format": "int-quantized", "config_groups": {"group_0": {
              "targets": ["Linear"], "weights": {"num_bits": 8, "type": "int", "strategy": "channel"}}}}""";

    @ParameterizedTest
    @ValueSource(strings = {"phi3", "phi4mini", "mixtral", "qwen2_moe", "qwen3_moe", "deepseek_v2", "gemma2"})
    void logitsAreThoseOfTheWidenedWeights(String family, @TempDir Path packed, @TempDir Path widened)
            throws IOException {
        Path folder = Golden.path("models/" + family + "-tiny");
        SafetensorsEdit small = SafetensorsEdit.of(folder.resolve("model.safetensors"));
        SafetensorsEdit wide = SafetensorsEdit.of(folder.resolve("model.safetensors"));
        int quantised = 0;
        try (SafetensorsFolder source = SafetensorsFolder.open(folder)) {
            for (String name : source.names()) {
                WeightTensor tensor = source.tensor(name);
                if (tensor.shape().length == 2 && name.contains(".layers.")) {
                    quantise(name, tensor, small, wide);
                    quantised++;
                }
            }
        }
        assertThat(quantised).isGreaterThan(7);
        ObjectNode config = (ObjectNode) JsonMapper.shared().readTree(Files.readString(folder.resolve("config.json")));
        Files.writeString(widened.resolve("config.json"), config.toString());
        config.set("quantization_config", JsonMapper.shared().readTree(INT8_BY_ROW));
        Files.writeString(packed.resolve("config.json"), config.toString());
        small.write(packed.resolve("model.safetensors"));
        wide.write(widened.resolve("model.safetensors"));
        assertThat(Files.size(packed.resolve("model.safetensors")))
                .isLessThan(Files.size(widened.resolve("model.safetensors")) / 2);

        JsonNode prompts = Golden.json("models/" + family + "-tiny/golden.json").get("prompts");
        int[] ids = GoldenModels.ints(prompts.get(2).get("ids"));
        assertThat(logits(packed, ids)).isEqualTo(logits(widened, ids));
    }

    private static void quantise(String name, WeightTensor tensor, SafetensorsEdit small, SafetensorsEdit wide) {
        int rows = (int) tensor.shape()[0];
        int columns = (int) tensor.shape()[1];
        float[] values = Dequantizer.all(tensor);
        ByteBuffer codes = ByteBuffer.allocate(values.length);
        ByteBuffer scales = ByteBuffer.allocate(4 * rows).order(ByteOrder.LITTLE_ENDIAN);
        ByteBuffer floats = ByteBuffer.allocate(4 * values.length).order(ByteOrder.LITTLE_ENDIAN);
        for (int row = 0; row < rows; row++) {
            float largest = 1e-9f;
            for (int i = row * columns; i < (row + 1) * columns; i++) {
                largest = Math.max(largest, Math.abs(values[i]));
            }
            float scale = largest / 127;
            scales.putFloat(scale);
            for (int i = row * columns; i < (row + 1) * columns; i++) {
                byte code = (byte) Math.round(values[i] / scale);
                codes.put(code);
                floats.putFloat(code * scale);
            }
        }
        small.put(name, "I8", tensor.shape(), codes.array());
        small.put(name + "_scale", "F32", new long[] {rows, 1}, scales.array());
        wide.put(name, "F32", tensor.shape(), floats.array());
    }

    private static float[][] logits(Path folder, int[] prompt) {
        try (ModelRuntime runtime = GoldenModels.load(folder, GoldenModels.blocks(16, 256), 2)) {
            PagedRunner runner = new PagedRunner(runtime, 1);
            Sequence sequence = runner.sequence(prompt);
            for (int i = 0; i < 3; i++) {
                runner.step(List.of(new Work(sequence, sequence.pending(), false)));
            }
            return sequence.logits.toArray(float[][]::new);
        }
    }
}

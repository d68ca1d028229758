package io.millrace.worker.model.quant;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.worker.model.QuantGolden;
import io.millrace.worker.model.SafetensorsEdit;
import io.millrace.worker.model.weights.Dequantizer;
import io.millrace.worker.model.weights.WeightSource;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/** Forms that published checkpoints have beside the golden ones: made of these, they mean the same weights. */
class VariantsTest {

    private static final String MODULE = "model.layers.1.mlp.down_proj";

    private static SafetensorsEdit edit(QuantGolden golden) throws IOException {
        return SafetensorsEdit.of(golden.folder().resolve("model.safetensors"));
    }

    private static float[] values(QuantGolden golden) {
        try (WeightSource source = QuantizedSource.open(golden.folder(), golden.config())) {
            return Dequantizer.all(source.tensor(MODULE + ".weight"));
        }
    }

    private static float[] values(Path folder, SafetensorsEdit edit, String config) throws IOException {
        edit.write(folder.resolve("model.safetensors"));
        try (WeightSource source = QuantizedSource.open(folder, config)) {
            return Dequantizer.all(source.tensor(MODULE + ".weight"));
        }
    }

    private static ObjectNode config(QuantGolden golden) {
        return (ObjectNode) JsonMapper.shared().readTree(golden.config());
    }

    @Test
    void anOlderAwqFolderHasItsSettingsInAFileOfTheirOwn(@TempDir Path temp) throws IOException {
        QuantGolden golden = QuantGolden.of("awq-g32");
        ObjectNode config = config(golden);
        config.remove("quantization_config");
        Files.writeString(
                temp.resolve("quant_config.json"),
                "{\"zero_point\": true, \"q_group_size\": 32, \"w_bit\": 4, \"version\": \"GEMM\"}");
        assertThat(values(temp, edit(golden), config.toString())).isEqualTo(values(golden));
    }

    @Test
    void anOlderGptqFolderHasItsSettingsInAFileOfTheirOwn(@TempDir Path temp) throws IOException {
        QuantGolden golden = QuantGolden.of("gptq-8bit-channel");
        ObjectNode config = config(golden);
        ObjectNode settings = (ObjectNode) config.remove("quantization_config");
        settings.remove(List.of("quant_method", "checkpoint_format", "lm_head"));
        Files.writeString(temp.resolve("quantize_config.json"), settings.toString());
        assertThat(values(temp, edit(golden), config.toString())).isEqualTo(values(golden));
    }

    @Test
    void gptqModulesMayHaveBitsOfTheirOwn(@TempDir Path temp) throws IOException {
        QuantGolden golden = QuantGolden.of("gptq-8bit-channel");
        ObjectNode config = config(golden);
        ObjectNode settings = (ObjectNode) config.get("quantization_config");
        settings.put("bits", 4)
                .put("group_size", 32)
                .putObject("dynamic")
                .putObject("+:.*")
                .put("bits", 8);
        assertThat(values(temp, edit(golden), config.toString())).isEqualTo(values(golden));
    }

    @Test
    void twoBitGptqIsReadAsItsFourValuesAByte(@TempDir Path temp) throws IOException {
        QuantGolden golden = QuantGolden.of("gptq-v2-4bit-g64");
        ObjectNode config = config(golden);
        ((ObjectNode) config.get("quantization_config")).put("bits", 2).put("group_size", -1);
        // One output group of 16: code of input k is k mod 4, zero 1, scale 0.5.
        ByteBuffer codes = ByteBuffer.allocate(4 * 16).order(ByteOrder.LITTLE_ENDIAN);
        ByteBuffer scales = ByteBuffer.allocate(2 * 16).order(ByteOrder.LITTLE_ENDIAN);
        for (int i = 0; i < 16; i++) {
            codes.putInt(0xE4E4E4E4);
            scales.putShort((short) 0x3800);
        }
        SafetensorsEdit edit = edit(golden);
        edit.tensors().keySet().removeIf(name -> name.contains("_proj"));
        edit.put(MODULE + ".qweight", "I32", new long[] {1, 16}, codes.array());
        edit.put(MODULE + ".scales", "F16", new long[] {1, 16}, scales.array());
        edit.put(MODULE + ".qzeros", "I32", new long[] {1, 1}, new byte[] {0x55, 0x55, 0x55, 0x55});
        float[] values = values(temp, edit, config.toString());
        assertThat(values).hasSize(16 * 16);
        for (int i = 0; i < values.length; i++) {
            assertThat(values[i]).isEqualTo((i % 4 - 1) * 0.5f);
        }
    }

    @Test
    void bitsandbytesCodesMayBeKeptAsAnotherType(@TempDir Path temp) throws IOException {
        QuantGolden golden = QuantGolden.of("bnb-fp4");
        SafetensorsEdit edit = edit(golden);
        byte[] codes = edit.get(MODULE + ".weight").bytes();
        edit.put(MODULE + ".weight", "BF16", new long[] {codes.length / 2, 1}, codes);
        assertThat(values(temp, edit, golden.config())).isEqualTo(values(golden));
    }

    @Test
    void compressedZerosMayBeAByteEach(@TempDir Path temp) throws IOException {
        QuantGolden golden = QuantGolden.of("ct-int4-pack-g128-asym");
        SafetensorsEdit edit = edit(golden);
        ByteBuffer packed =
                ByteBuffer.wrap(edit.get(MODULE + ".weight_zero_point").bytes()).order(ByteOrder.LITTLE_ENDIAN);
        int groups = 2;
        byte[] bytes = new byte[128 * groups];
        for (int row = 0; row < 128; row++) {
            for (int group = 0; group < groups; group++) {
                int word = packed.getInt(4 * (row / 8 * groups + group));
                bytes[row * groups + group] = (byte) ((word >>> 4 * (row % 8) & 15) - 8);
            }
        }
        edit.put(MODULE + ".weight_zero_point", "I8", new long[] {128, groups}, bytes);
        assertThat(values(temp, edit, golden.config())).isEqualTo(values(golden));
    }

    @Test
    void compressedColumnsMayBeInAnotherOrderOfGroups(@TempDir Path temp) throws IOException {
        QuantGolden golden = QuantGolden.of("ct-int4-pack-g128-asym");
        SafetensorsEdit edit = edit(golden);
        ByteBuffer index = ByteBuffer.allocate(4 * 256).order(ByteOrder.LITTLE_ENDIAN);
        for (int i = 0; i < 256; i++) {
            index.putInt(i / 128);
        }
        edit.put(MODULE + ".weight_g_idx", "I32", new long[] {256}, index.array());
        assertThat(values(temp, edit, golden.config())).isEqualTo(values(golden));
        index.putInt(0, 1);
        edit.put(MODULE + ".weight_g_idx", "I32", new long[] {256}, index.array());
        assertThat(values(temp, edit, golden.config())[0]).isNotEqualTo(values(golden)[0]);
    }

    @Test
    void theClosestOfSeveralSchemesCounts(@TempDir Path temp) throws IOException {
        QuantGolden golden = QuantGolden.of("ct-int8-pack-channel");
        ObjectNode config = config(golden);
        ObjectNode groups = (ObjectNode) config.get("quantization_config").get("config_groups");
        ObjectNode fits = ((ObjectNode) groups.get("group_0")).deepCopy();
        ((ArrayNode) fits.get("targets")).removeAll().add("re:.*\\.(self_attn|mlp)\\..*");
        ((ObjectNode) groups.get("group_0").get("weights")).put("num_bits", 4);
        groups.set("group_1", fits);
        config.set("compression_config", config.remove("quantization_config"));
        assertThat(values(temp, edit(golden), config.toString())).isEqualTo(values(golden));
    }

    @Test
    void whatACompressedConfigLeavesOpenFollowsFromTheRest(@TempDir Path temp) throws IOException {
        QuantGolden golden = QuantGolden.of("ct-int4-pack-g128-asym");
        ObjectNode config = config(golden);
        ObjectNode settings = (ObjectNode) config.get("quantization_config");
        settings.remove("quant_method");
        settings.putNull("sparsity_config");
        ObjectNode groups = (ObjectNode) settings.get("config_groups");
        ((ObjectNode) groups.get("group_0")).putNull("format");
        ((ObjectNode) groups.get("group_0").get("weights")).putNull("strategy");
        groups.putObject("of_activations")
                .putNull("weights")
                .putArray("targets")
                .add("Linear");
        assertThat(values(temp, edit(golden), config.toString())).isEqualTo(values(golden));
    }

    @Test
    void biasesOfZerosAndScalesOfACacheAreNotAmongTheNames(@TempDir Path temp) throws IOException {
        QuantGolden golden = QuantGolden.of("gptq-8bit-channel");
        SafetensorsEdit edit = edit(golden);
        edit.put(MODULE + ".bias", "F16", new long[] {128}, new byte[256]);
        byte[] ones = new byte[256];
        Arrays.fill(ones, (byte) 0x3C);
        edit.put("model.layers.0.mlp.down_proj.bias", "F16", new long[] {128}, ones);
        edit.put("model.layers.0.self_attn.k_scale", "F32", new long[] {1}, new byte[4]);
        edit.write(temp.resolve("model.safetensors"));
        try (WeightSource source = QuantizedSource.open(temp, golden.config())) {
            assertThat(source.names())
                    .contains("model.layers.0.mlp.down_proj.bias")
                    .hasSize(14 + 2 * 2 + 3 + 1);
            assertThat(source.has(MODULE + ".bias")).isTrue();
            assertThat(Dequantizer.all(source.tensor(MODULE + ".bias"))).containsOnly(0f);
            assertThat(source.has(MODULE + ".qweight")).isFalse();
        }
    }

    @Test
    void fp8ByRowsOrByTensorIsReadWithoutBlocks(@TempDir Path temp) throws IOException {
        QuantGolden golden = QuantGolden.of("ct-fp8-channel");
        ObjectNode config = config(golden);
        config.putObject("quantization_config").put("quant_method", "fbgemm_fp8");
        assertThat(values(temp, edit(golden), config.toString())).isEqualTo(values(golden));
        SafetensorsEdit one = edit(golden);
        one.tensors().keySet().removeIf(name -> name.contains("_proj") && !name.startsWith(MODULE));
        one.put(MODULE + ".weight_scale", "F32", new long[0], new byte[] {0, 0, 0, 0x40});
        config.putObject("quantization_config").put("quant_method", "fp8").put("activation_scheme", "static");
        float[] doubled = values(temp, one, config.toString());
        try (WeightSource source = QuantizedSource.open(golden.folder(), golden.config())) {
            Scaled scaled = (Scaled) java.util.Objects.requireNonNull(
                    source.tensor(MODULE + ".weight").packed());
            float[] plain = Dequantizer.all(scaled.stored().values());
            for (int i = 0; i < plain.length; i++) {
                assertThat(doubled[i]).isEqualTo(2 * plain[i]);
            }
        }
    }

    @Test
    void aConfigOfQuantisationOverPlainWeightsReadsThemAsTheyAre(@TempDir Path temp) throws IOException {
        QuantGolden golden = QuantGolden.of("bnb-fp4");
        SafetensorsEdit edit = edit(golden);
        edit.tensors().keySet().removeIf(name -> name.contains("_proj"));
        edit.put(MODULE + ".weight", "F16", new long[] {1, 2}, new byte[] {0, 0x3C, 0, 0x40});
        assertThat(values(temp, edit, golden.config())).containsExactly(1f, 2f);
    }

    @Test
    void theHashTellsFormatsOfTheSameTensorsApart() throws IOException {
        QuantGolden golden = QuantGolden.of("gptq-v2-4bit-g64");
        ObjectNode config = config(golden);
        ((ObjectNode) config.get("quantization_config")).put("checkpoint_format", "gptq");
        try (WeightSource one = QuantizedSource.open(golden.folder(), golden.config());
                WeightSource other = QuantizedSource.open(golden.folder(), config.toString())) {
            assertThat(one.hash()).isNotEqualTo(other.hash());
        }
    }
}

package io.millrace.worker.model.quant;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowable;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.model.QuantGolden;
import io.millrace.worker.model.SafetensorsEdit;
import io.millrace.worker.model.config.DecoderConfig;
import io.millrace.worker.model.decoder.Decoder;
import io.millrace.worker.model.weights.Dequantizer;
import io.millrace.worker.model.weights.WeightSource;
import io.millrace.worker.model.weights.WeightTensor;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/** Quantised checkpoints that are not what they claim: a coded error that names file and tensor, soon. */
@Timeout(60)
class DamagedQuantizedTest {

    private static final String MODULE = "model.layers.1.mlp.down_proj";
    /** Without them a module is read as well. */
    private static final Set<String> OPTIONAL = Set.of("g_idx", "weight_format");

    static List<String> formats() {
        return QuantGolden.kept().map(QuantGolden::name).toList();
    }

    /** Opens, checks against the config and reads every weight, as loading does. */
    private static void load(Path folder) throws IOException {
        String json = Files.readString(folder.resolve("config.json"));
        DecoderConfig config =
                DecoderConfig.fromJson(folder.resolve("config.json").toString(), json);
        try (WeightSource source = QuantizedSource.open(folder, json)) {
            Decoder.of(config, source).slots().values().forEach(slot -> readAll(source.tensor(slot.tensor())));
        }
    }

    private static void readAll(WeightTensor tensor) {
        float[] values = new float[Math.toIntExact(tensor.elements())];
        Dequantizer.finiteRows(tensor, 0, Dequantizer.rows(tensor), MemorySegment.ofArray(values));
    }

    private static void copy(QuantGolden golden, SafetensorsEdit edit, Path to) throws IOException {
        Files.writeString(to.resolve("config.json"), golden.config());
        edit.write(to.resolve("model.safetensors"));
    }

    @ParameterizedTest
    @MethodSource("formats")
    void aPartThatIsMissingCutOrOfAnotherTypeIsNamed(String format, @TempDir Path temp) throws IOException {
        QuantGolden golden = QuantGolden.of(format);
        Path file = golden.folder().resolve("model.safetensors");
        for (String name : SafetensorsEdit.of(file).tensors().keySet()) {
            if (!name.startsWith(MODULE + ".")) {
                continue;
            }
            String part = name.substring(MODULE.length() + 1);
            SafetensorsEdit without = SafetensorsEdit.of(file);
            without.tensors().remove(name);
            copy(golden, without, temp);
            if (OPTIONAL.contains(part) && !format.endsWith("desc-act")) {
                assertThat(catchThrowable(() -> load(temp)))
                        .as("without " + name)
                        .isNull();
            } else {
                assertRefused(temp, "without " + name, MODULE);
            }
            SafetensorsEdit.Stored whole = SafetensorsEdit.of(file).get(name);
            if (whole.shape().length > 0 && whole.shape()[0] > 1) {
                copy(golden, SafetensorsEdit.of(file).halve(name), temp);
                assertRefused(temp, "half of " + name, MODULE);
            }
            SafetensorsEdit retyped = SafetensorsEdit.of(file);
            SafetensorsEdit.Stored stored = retyped.get(name);
            if (stored.shape().length > 0) {
                long[] shape = stored.shape().clone();
                shape[shape.length - 1] = stored.bytes().length / (stored.bytes().length / rowBytes(stored)) / 8;
                if (rowBytes(stored) % 8 == 0) {
                    copy(golden, retyped.put(name, "F64", shape, stored.bytes()), temp);
                    assertRefused(temp, "float64 " + name, MODULE);
                }
            }
        }
    }

    private static int rowBytes(SafetensorsEdit.Stored stored) {
        long rows = 1;
        for (int i = 0; i + 1 < stored.shape().length; i++) {
            rows *= stored.shape()[i];
        }
        return (int) (stored.bytes().length / rows);
    }

    @ParameterizedTest
    @MethodSource("formats")
    void anyBytesEndInValuesOrInACodedError(String format, @TempDir Path temp) throws IOException {
        QuantGolden golden = QuantGolden.of(format);
        Path file = golden.folder().resolve("model.safetensors");
        for (String name : SafetensorsEdit.of(file).tensors().keySet()) {
            if (!name.startsWith(MODULE + ".")) {
                continue;
            }
            for (int fill : new int[] {0, 0xFF, 0x7F, 0x80}) {
                byte[] bytes = new byte[SafetensorsEdit.of(file).get(name).bytes().length];
                Arrays.fill(bytes, (byte) fill);
                copy(golden, SafetensorsEdit.of(file).bytes(name, bytes), temp);
                Throwable thrown = catchThrowable(() -> load(temp));
                if (thrown != null) {
                    assertThat(thrown).as(name + " of " + fill).isInstanceOf(MillraceException.class);
                    assertThat(thrown.getMessage()).contains(MODULE).contains("safetensors");
                }
            }
        }
    }

    private static void assertRefused(Path folder, String what, String named) {
        MillraceException e = catchThrowableOfType(MillraceException.class, () -> load(folder));
        assertThat(e).as(what).isNotNull();
        assertThat(e.code()).as(what + ": " + e).matches("MR-(QUANT-003|MODEL-003)");
        assertThat(e.getMessage()).as(what).contains(named).containsAnyOf("model.safetensors", "config.json");
        assertThat(e.getMessage()).as(what).containsAnyOf("get both again", "get it again");
    }

    private static byte[] ints(int n, int value) {
        ByteBuffer bytes = ByteBuffer.allocate(4 * n).order(ByteOrder.LITTLE_ENDIAN);
        for (int i = 0; i < n; i++) {
            bytes.putInt(i == n / 2 ? value : 0);
        }
        return bytes.array();
    }

    @ParameterizedTest
    @CsvSource({"8, MR-QUANT-003", "2147483647, MR-QUANT-003", "-1, MR-QUANT-003", "7, "})
    void aGroupIndexOutsideTheGroupsIsNamed(int group, String code, @TempDir Path temp) throws IOException {
        QuantGolden golden = QuantGolden.of("gptq-4bit-g32-desc-act");
        SafetensorsEdit edit = SafetensorsEdit.of(golden.folder().resolve("model.safetensors"));
        copy(golden, edit.bytes(MODULE + ".g_idx", ints(256, group)), temp);
        if (code == null) {
            load(temp);
        } else {
            assertThatThrownBy(() -> load(temp))
                    .isInstanceOfSatisfying(
                            MillraceException.class, e -> assertThat(e.code()).isEqualTo(code))
                    .hasMessageContaining(MODULE + ".g_idx")
                    .hasMessageContaining("column 128")
                    .hasMessageContaining(Integer.toString(group));
        }
    }

    @ParameterizedTest
    @CsvSource({
        "awq-g32, model.layers.1.mlp.down_proj.scales, 7E00",
        "gptq-8bit-channel, model.layers.1.mlp.down_proj.scales, 7C00",
        "ct-fp8-channel, model.layers.1.mlp.down_proj.weight, 7F7F",
        "ct-fp8-channel, model.layers.1.mlp.down_proj.weight_scale, FF80",
        "awq-g32, model.embed_tokens.weight, 7E00",
        "awq-g32, model.norm.weight, FC00",
    })
    void aValueThatIsNoNumberIsNamedWithItsPlace(String format, String tensor, String bits, @TempDir Path temp)
            throws IOException {
        QuantGolden golden = QuantGolden.of(format);
        SafetensorsEdit edit = SafetensorsEdit.of(golden.folder().resolve("model.safetensors"));
        byte[] bytes = edit.get(tensor).bytes().clone();
        ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).putShort(6, (short) Integer.parseInt(bits, 16));
        copy(golden, edit.bytes(tensor, bytes), temp);
        MillraceException e = catchThrowableOfType(MillraceException.class, () -> load(temp));
        assertThat(e.code()).isEqualTo("MR-WEIGHTS-006");
        assertThat(e.getMessage())
                .contains(tensor.substring(0, tensor.lastIndexOf('.')))
                .contains("model.safetensors")
                .contains("row ")
                .containsAnyOf("NaN", "Infinity");
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "awq-g32 | {'quant_method': 'aqlm'} | MR-QUANT-001 | aqlm",
                "awq-g32 | {'quant_method': 'quip'} | MR-QUANT-001 | compressed-tensors",
                "awq-g32 | {'quant_method': 7} | MR-QUANT-002 | quant_method",
                "awq-g32 | {'bits': 3} | MR-QUANT-001 | bits",
                "awq-g32 | {'bits': '4'} | MR-QUANT-002 | bits",
                "awq-g32 | {'version': 'gemv'} | MR-QUANT-001 | gemv",
                "awq-g32 | {'backend': 'llm-awq'} | MR-QUANT-001 | llm-awq",
                "awq-g32 | {'group_size': 0} | MR-QUANT-002 | group_size",
                "awq-g32 | {'group_size': -7} | MR-QUANT-002 | -7",
                "awq-g32 | {'group_size': 64} | MR-QUANT-003 | groups of 64",
                "gptq-8bit-channel | {'bits': 3} | MR-QUANT-001 | 2, 4, 8",
                "gptq-8bit-channel | {'bits': 4} | MR-QUANT-003 | ",
                "gptq-8bit-channel | {'checkpoint_format': 'marlin'} | MR-QUANT-001 | marlin",
                "gptq-8bit-channel | {'is_marlin_format': true} | MR-QUANT-001 | marlin",
                "gptq-8bit-channel | {'group_size': 2147483648} | MR-QUANT-002 | group_size",
                "bnb-int8 | {'load_in_8bit': false, '_load_in_8bit': false} | MR-QUANT-002 | load_in_4bit",
                "bnb-int8 | {'load_in_4bit': true} | MR-QUANT-003 | quant_state",
                "fp8-block | {'weight_block_size': [0, 64]} | MR-QUANT-002 | weight_block_size",
                "fp8-block | {'weight_block_size': [64]} | MR-QUANT-002 | weight_block_size",
                "fp8-block | {'weight_block_size': [1, 1]} | MR-QUANT-003 | weight_scale_inv",
                "fp8-block | {'fmt': 'e5m2'} | MR-QUANT-001 | e5m2",
                "ct-int8-channel | {'format': 'marlin-24'} | MR-QUANT-001 | marlin-24",
                "ct-int8-channel | {'format': 'nvfp4-pack-quantized'} | MR-QUANT-001 | nvfp4",
                "ct-int8-channel | {'sparsity_config': {'format': 'sparse-24-bitmask'}} | MR-QUANT-001 | sparse-24",
                "ct-int8-channel | {'config_groups': {}} | MR-QUANT-002 | config_groups",
                "ct-int8-channel | {'config_groups': {'a': {'weights': {'num_bits': 3, 'type': 'int'}}}} | MR-QUANT-001 | 3 bits",
                "ct-int8-channel | {'config_groups': {'a': {'weights': {'strategy': 'group'}}}} | MR-QUANT-002 | group",
            })
    void aConfigThatCannotBeMeantIsNamed(String format, String changes, String code, String named, @TempDir Path temp)
            throws IOException {
        QuantGolden golden = QuantGolden.of(format);
        SafetensorsEdit.of(golden.folder().resolve("model.safetensors")).write(temp.resolve("model.safetensors"));
        ObjectNode config = (ObjectNode) JsonMapper.shared().readTree(golden.config());
        ObjectNode quantization = (ObjectNode) config.get("quantization_config");
        JsonNode wanted = JsonMapper.shared().readTree(changes.replace('\'', '"'));
        wanted.properties().forEach(change -> quantization.set(change.getKey(), change.getValue()));
        Files.writeString(temp.resolve("config.json"), config.toString());
        MillraceException e = catchThrowableOfType(MillraceException.class, () -> load(temp));
        assertThat(e).isNotNull();
        assertThat(e.code()).as(e.toString()).isEqualTo(code);
        assertThat(e.getMessage()).containsAnyOf("config.json", "model.safetensors");
        if (named != null) {
            assertThat(e.getMessage()).contains(named);
        }
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "not json",
                "[]",
                "{'shape': [2147483647, 2147483647], 'blocksize': 64}",
                "{'shape': [128, 256], 'blocksize': 0}",
                "{'shape': [128, 256], 'blocksize': -64}",
                "{'shape': [128, 256], 'blocksize': 1000000}",
                "{'shape': [128, 256, 1], 'blocksize': 64}",
                "{'shape': [128.5, 256], 'blocksize': 64}",
                "{'shape': [256, 128], 'blocksize': 64}",
            })
    void aStateThatLiesIsNamed(String state, @TempDir Path temp) throws IOException {
        QuantGolden golden = QuantGolden.of("bnb-fp4");
        byte[] bytes = state.replace('\'', '"').getBytes(StandardCharsets.UTF_8);
        SafetensorsEdit edit = SafetensorsEdit.of(golden.folder().resolve("model.safetensors"));
        edit.put(MODULE + ".weight.quant_state.bitsandbytes__fp4", "U8", new long[] {bytes.length}, bytes);
        copy(golden, edit, temp);
        assertRefused(temp, state, MODULE);
    }

    @Test
    void aHostilePatternEndsSoon(@TempDir Path temp) throws IOException {
        QuantGolden golden = QuantGolden.of("ct-int8-channel");
        SafetensorsEdit.of(golden.folder().resolve("model.safetensors")).write(temp.resolve("model.safetensors"));
        ObjectNode config = (ObjectNode) JsonMapper.shared().readTree(golden.config());
        ObjectNode groups = (ObjectNode) config.get("quantization_config").get("config_groups");
        ObjectNode hostile = ((ObjectNode) groups.get("group_0")).deepCopy();
        hostile.putArray("targets").add("re:(([a-z0-9_.]+)+)+!");
        groups.set("group_1", hostile);
        Files.writeString(temp.resolve("config.json"), config.toString());
        MillraceException e = catchThrowableOfType(MillraceException.class, () -> load(temp));
        assertThat(e.code()).isEqualTo("MR-QUANT-002");
    }

    @ParameterizedTest
    @MethodSource("formats")
    void aFileCutShortWhileItIsReadIsACodedError(String format, @TempDir Path temp) throws IOException {
        QuantGolden golden = QuantGolden.of(format);
        copy(golden, SafetensorsEdit.of(golden.folder().resolve("model.safetensors")), temp);
        try (WeightSource source = QuantizedSource.open(temp, golden.config())) {
            WeightTensor tensor = source.tensor(MODULE + ".weight");
            readAll(tensor);
            try (FileChannel channel = FileChannel.open(temp.resolve("model.safetensors"), StandardOpenOption.WRITE)) {
                channel.truncate(4096);
            }
            MillraceException e = catchThrowableOfType(MillraceException.class, () -> readAll(tensor));
            assertThat(e.code()).isEqualTo("MR-WEIGHTS-002");
            assertThat(e.getMessage()).contains(MODULE, "model.safetensors");
        }
    }
}

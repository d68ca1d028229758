package io.millrace.worker.model.quant;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;
import static org.assertj.core.api.Assertions.withinPercentage;

import io.millrace.worker.model.QuantGolden;
import io.millrace.worker.model.weights.DType;
import io.millrace.worker.model.weights.Dequantizer;
import io.millrace.worker.model.weights.WeightSource;
import io.millrace.worker.model.weights.WeightTensor;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.Objects;
import java.util.Random;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import tools.jackson.databind.JsonNode;

/** Values of the golden checkpoints, packed by other implementations. */
class QuantizedGoldenTest {

    /** Where another order of the products is as right. */
    private static final Set<String> ROUNDED = Set.of("bnb-int8", "bnb-nf4-double");

    static Stream<QuantGolden> folders() {
        return QuantGolden.all();
    }

    private static WeightSource open(QuantGolden folder) {
        return QuantizedSource.open(folder.folder(), folder.config());
    }

    @ParameterizedTest
    @MethodSource("folders")
    void everyWeightEqualsItsGoldenValues(QuantGolden folder) {
        JsonNode weights = folder.golden().get("weights");
        assertThat(weights.size()).isEqualTo(14);
        try (WeightSource source = open(folder)) {
            for (JsonNode expected : weights.values()) {
                String name = expected.get("name").asString() + ".weight";
                WeightTensor tensor = source.tensor(name);
                assertThat(tensor.dtype()).isEqualTo(DType.PACKED);
                assertThat(tensor.shape())
                        .containsExactly(
                                expected.get("shape").get(0).longValue(),
                                expected.get("shape").get(1).longValue());
                float[] values = Dequantizer.all(tensor);
                if (ROUNDED.contains(folder.name())) {
                    assertClose(folder, expected, values);
                } else {
                    assertThat(sha256(values))
                            .as(name)
                            .isEqualTo(expected.get("sha256").asString());
                }
            }
        }
    }

    private static void assertClose(QuantGolden folder, JsonNode expected, float[] values) {
        double sum = 0;
        double squares = 0;
        double largest = 0;
        for (float value : values) {
            sum += value;
            squares += (double) value * value;
            largest = Math.max(largest, Math.abs(value));
        }
        // Both are given with six digits.
        assertThat(sum).isCloseTo(expected.get("sum").doubleValue(), withinPercentage(1e-3));
        assertThat(squares).isCloseTo(expected.get("sum_squares").doubleValue(), withinPercentage(1e-3));
        if (expected.has("dequant_offset")) {
            float[] all = folder.floats("dequant_layer0.f32");
            int offset = expected.get("dequant_offset").intValue();
            for (int i = 0; i < values.length; i++) {
                assertThat((double) values[i]).isCloseTo(all[offset + i], within(1e-6 * largest));
            }
        }
    }

    private static String sha256(float[] values) {
        ByteBuffer bytes = ByteBuffer.allocate(4 * values.length).order(ByteOrder.LITTLE_ENDIAN);
        bytes.asFloatBuffer().put(values);
        try {
            return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes.array()));
        } catch (NoSuchAlgorithmException e) {
            throw new AssertionError(e);
        }
    }

    @ParameterizedTest
    @MethodSource("folders")
    void anyRangeOfRowsIsThatPartOfTheWhole(QuantGolden folder) {
        Random random = new Random(7);
        try (WeightSource source = open(folder)) {
            WeightTensor tensor = source.tensor("model.layers.0.mlp.down_proj.weight");
            int in = (int) tensor.shape()[1];
            float[] whole = Dequantizer.all(tensor);
            for (int i = 0; i < 40; i++) {
                int first = random.nextInt((int) tensor.shape()[0]);
                int count = 1 + random.nextInt((int) tensor.shape()[0] - first);
                float[] part = new float[3 + count * in];
                Dequantizer.rows(tensor, first, count, part, 3);
                assertThat(Arrays.mismatch(part, 3, part.length, whole, first * in, (first + count) * in))
                        .isEqualTo(-1);
            }
        }
    }

    @ParameterizedTest
    @MethodSource("folders")
    void partsAreHiddenAndTheRestIsAsStored(QuantGolden folder) {
        try (WeightSource source = open(folder)) {
            assertThat(source.names())
                    .allMatch(name -> name.endsWith(".weight"))
                    .contains("lm_head.weight", "model.norm.weight", "model.layers.1.self_attn.o_proj.weight")
                    .hasSize(14 + 2 * 2 + 3);
            assertThat(source.tensor("lm_head.weight").packed()).isNull();
            assertThat(source.has("model.layers.0.mlp.down_proj.scales")).isFalse();
            WeightTensor weight = source.tensor("model.layers.0.mlp.down_proj.weight");
            assertThat(weight.storedBytes()).isBetween(weight.elements() / 2, weight.elements() * 5 / 4);
            assertThat(source.hash()).isNotZero();
        }
    }

    @Test
    void codesZerosAndScalesOfAnyLayoutMakeUpTheWeight() {
        for (String name :
                new String[] {"awq-g32", "gptq-4bit-g32-desc-act", "gptq-8bit-channel", "ct-int4-pack-g128-asym"}) {
            try (WeightSource source = open(QuantGolden.of(name))) {
                WeightTensor tensor = source.tensor("model.layers.1.mlp.gate_proj.weight");
                Grouped grouped = (Grouped) Objects.requireNonNull(tensor.packed());
                Grouped.Stored stored = grouped.stored();
                int count = 9;
                byte[] codes = new byte[count * stored.in()];
                int[] zeros = new int[count * stored.groups()];
                float[] scales = new float[count * stored.groups()];
                grouped.codes(5, count, codes);
                grouped.zeros(5, count, zeros);
                grouped.scales(5, count, scales);
                float[] rows = new float[count * stored.in()];
                Dequantizer.rows(tensor, 5, count, rows, 0);
                for (int i = 0; i < rows.length; i++) {
                    int group = i / stored.in() * stored.groups() + grouped.groupOf()[i % stored.in()];
                    assertThat(rows[i]).isEqualTo(((codes[i] & 0xFF) - zeros[group]) * scales[group]);
                    assertThat(codes[i] & 0xFF).isLessThan(1 << stored.bits());
                }
            }
        }
    }

    @Test
    void rowsOfAFusedWeightAreAWeightOfTheirOwn() {
        try (WeightSource source = open(QuantGolden.of("awq-g32"))) {
            WeightTensor whole = source.tensor("model.layers.0.mlp.gate_proj.weight");
            float[] values = Dequantizer.all(whole);
            int in = (int) whole.shape()[1];
            WeightTensor part = whole.packedRows(70, 50, 50, 50);
            assertThat(part.shape()).containsExactly(50, in);
            assertThat(Dequantizer.all(part)).isEqualTo(Arrays.copyOfRange(values, 70 * in, 120 * in));
            assertThat(part.storedBytes()).isEqualTo(whole.storedBytes() * 50 / whole.shape()[0]);
            float[] runs = Dequantizer.all(whole.packedRows(3, 5, 20, 30));
            for (int row = 0; row < 30; row++) {
                int from = 3 + row / 5 * 20 + row % 5;
                assertThat(Arrays.mismatch(runs, row * in, (row + 1) * in, values, from * in, (from + 1) * in))
                        .isEqualTo(-1);
            }
        }
    }
}

package io.millrace.worker.model.weights;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.model.Golden;
import io.millrace.worker.model.TestModels;
import io.millrace.worker.model.gguf.GgufFile;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class DequantizerTest {

    static List<String> types() {
        return StreamSupport.stream(
                        Golden.json("gguf/types.json").get("tensors").spliterator(), false)
                .map(t -> t.get("gguf").asString().replace(".gguf", ""))
                .toList();
    }

    @ParameterizedTest
    @MethodSource("types")
    void every_type_equals_its_golden_values_bit_for_bit(String type) {
        float[] expected = Golden.floats("gguf/" + type + ".f32");
        try (GgufFile file = GgufFile.open(Golden.path("gguf/" + type + ".gguf"))) {
            WeightTensor tensor = file.tensor("test.weight");
            assertThat(tensor.dtype().name()).isEqualToIgnoringCase(type);
            assertThat(tensor.shape()).containsExactly(5, 512);
            assertBitEqual(Dequantizer.all(tensor), expected, 0);
            float[] rows = new float[3 + 2 * 512];
            Dequantizer.rows(tensor, 2, 2, rows, 3);
            float[] middle = new float[2 * 512];
            System.arraycopy(rows, 3, middle, 0, middle.length);
            assertBitEqual(middle, expected, 2 * 512);
        }
    }

    @Test
    void fifteen_golden_types_are_covered() {
        assertThat(types()).hasSize(15);
    }

    private static void assertBitEqual(float[] actual, float[] expected, int from) {
        for (int i = 0; i < actual.length; i++) {
            if (Float.floatToRawIntBits(actual[i]) != Float.floatToRawIntBits(expected[from + i])) {
                throw new AssertionError("value " + i + " is " + actual[i] + ", not " + expected[from + i]);
            }
        }
    }

    private static float[] plain(DType dtype, byte... bytes) {
        long n = bytes.length / dtype.blockBytes();
        return Dequantizer.all(new WeightTensor("t", dtype, new long[] {n}, MemorySegment.ofArray(bytes)));
    }

    @Test
    void plain_types_are_widened() {
        assertThat(plain(DType.I8, (byte) -3, (byte) 127)).containsExactly(-3f, 127f);
        assertThat(plain(DType.U8, (byte) -3)).containsExactly(253f);
        assertThat(plain(DType.I16, (byte) 0xFE, (byte) 0xFF)).containsExactly(-2f);
        assertThat(plain(DType.U64, longs(-1L))).containsExactly(0x1p64f);
        assertThat(plain(DType.I64, longs(-5L))).containsExactly(-5f);
        assertThat(plain(DType.F64, longs(Double.doubleToLongBits(0.5)))).containsExactly(0.5f);
        // 1.0, 448 (the largest), the smallest subnormal, -0.25, NaN
        assertThat(plain(DType.F8_E4M3, (byte) 0x38, (byte) 0x7E, (byte) 0x01, (byte) 0xA8, (byte) 0x7F))
                .containsExactly(1f, 448f, 0x1p-9f, -0.25f, Float.NaN);
        // 1.0, 57344 (the largest), the smallest subnormal
        assertThat(plain(DType.F8_E5M2, (byte) 0x3C, (byte) 0x7B, (byte) 0x01)).containsExactly(1f, 57344f, 0x1p-16f);
    }

    private static byte[] longs(long value) {
        return ByteBuffer.allocate(8)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putLong(value)
                .array();
    }

    @Test
    void rows_outside_the_tensor_and_a_segment_too_small_are_refused() {
        WeightTensor tensor = new WeightTensor("t", DType.I8, new long[] {4, 4}, MemorySegment.ofArray(new byte[16]));
        assertThatThrownBy(() -> Dequantizer.rows(tensor, 3, 2, new float[8], 0))
                .isInstanceOf(MillraceException.class)
                .hasMessageContaining("it has 4");
        assertThatThrownBy(() -> Dequantizer.rows(tensor, 0, 2, new float[8], 1))
                .isInstanceOf(MillraceException.class)
                .hasMessageContaining("room for 8");
    }

    @Test
    void the_default_model_is_dequantised_in_parallel_as_by_one_thread_and_soon() {
        try (GgufFile file = GgufFile.open(TestModels.smollm2());
                Arena arena = Arena.ofShared()) {
            WeightTensor largest = file.tensor("token_embd.weight");
            MemorySegment parallel = arena.allocate(4 * largest.elements(), 64);
            MemorySegment single = arena.allocate(4 * largest.elements(), 64);
            Dequantizer.all(largest, single, 1);
            long start = System.nanoTime();
            for (WeightTensor tensor : file.tensors()) {
                Dequantizer.all(tensor, parallel, 2);
            }
            long ms = (System.nanoTime() - start) / 1_000_000;
            Dequantizer.all(largest, parallel, 2);
            assertThat(parallel.mismatch(single)).isEqualTo(-1);
            System.out.println("dequantised the default model in " + ms + " ms");
            assertThat(ms).isLessThan(10_000);
        }
    }

    @Test
    void a_file_cut_short_while_mapped_is_a_coded_error(@TempDir Path folder) throws IOException {
        Path path = folder.resolve("model.bin");
        Files.write(path, new byte[1 << 20]);
        try (MappedFile file = MappedFile.open(path)) {
            WeightTensor tensor = new WeightTensor("t", DType.F32, new long[] {512, 512}, file.bytes());
            assertThat(Dequantizer.all(tensor)[0]).isZero();
            try (FileChannel channel = FileChannel.open(path, StandardOpenOption.WRITE)) {
                channel.truncate(4096);
            }
            MillraceException e = catchThrowableOfType(
                    MillraceException.class, () -> Dequantizer.rows(tensor, 256, 1, new float[512], 0));
            assertThat(e.code()).isEqualTo("MR-WEIGHTS-002");
            assertThat(file.bytes().get(ValueLayout.JAVA_BYTE, 0)).isZero();
        }
    }
}

package io.millrace.worker.model.weights;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import io.millrace.shared.error.MillraceException;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.EnumSource.Mode;

/** Values that are none are found where decoding finds them, in every place of a block. */
class FiniteCheckTest {

    private static final int ROWS = 3;
    private static final int COLUMNS = 512;
    /** Twice this byte is a finite half, and four times a finite float. */
    private static final byte ORDINARY = 0x3C;

    @ParameterizedTest
    @EnumSource(
            mode = Mode.EXCLUDE,
            names = {"I32", "I8", "U8", "F64", "I64", "I16", "U16", "U32", "U64", "BOOL", "F8_E4M3", "F8_E5M2", "PACKED"
            })
    void whatDecodesToNoNumberIsRefusedAndNothingElse(DType dtype) {
        byte[] bytes = new byte[(int) dtype.bytes((long) ROWS * COLUMNS)];
        Arrays.fill(bytes, ORDINARY);
        assertThatCode(() -> check(dtype, bytes)).doesNotThrowAnyException();
        int block = (int) dtype.bytes(2L * COLUMNS) - dtype.blockBytes();
        int refused = 0;
        for (int offset = 0; offset + 1 < dtype.blockBytes() || offset == 0; offset++) {
            byte[] damaged = bytes.clone();
            damaged[block + offset] = (byte) 0x80;
            damaged[block + offset + 1] = 0x7F;
            MillraceException expected = catchThrowableOfType(
                    MillraceException.class,
                    () -> Dequantizer.finiteRows(tensor(dtype, damaged), 0, ROWS, new float[ROWS * COLUMNS], 0));
            MillraceException found = catchThrowableOfType(MillraceException.class, () -> check(dtype, damaged));
            assertThat(found == null).as("offset %d: %s", offset, found).isEqualTo(expected == null);
            if (found != null) {
                assertThat(found.code()).isEqualTo("MR-WEIGHTS-006");
                assertThat(found.getMessage()).isEqualTo(expected.getMessage()).contains("row 1,");
                refused++;
            }
        }
        assertThat(refused).as("places that hold a float").isPositive();
    }

    private static WeightTensor tensor(DType dtype, byte[] bytes) {
        return new WeightTensor("w", dtype, new long[] {ROWS, COLUMNS}, MemorySegment.ofArray(bytes));
    }

    private static void check(DType dtype, byte[] bytes) {
        WeightTensor tensor = tensor(dtype, bytes);
        FiniteCheck.check(tensor, tensor.data());
    }
}

package io.millrace.worker.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.millrace.shared.error.MillraceException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class CpuSettingsTest {

    @Test
    void productsAreInvariantUnlessTheLibraryIsAskedFor() {
        assertThat(CpuSettings.of("auto", false, "", "invariant")).isEqualTo(CpuSettings.DEFAULT);
        CpuSettings library = CpuSettings.of("fp8", true, "", "library");
        assertThat(library.libraryRows()).isEqualTo(CpuSettings.LIBRARY_ROWS);
        assertThat(library.precision()).isEqualTo(CpuSettings.Precision.FP8);
        assertThat(library.onDevice().libraryRows()).isEqualTo(CpuSettings.LIBRARY_ROWS);
        assertThat(CpuSettings.of("auto", false, "", "library:1").libraryRows()).isEqualTo(1);
        assertThat(CpuSettings.of("fp8", false, "", "library:512").libraryRows())
                .isEqualTo(512);
    }

    @ParameterizedTest
    @CsvSource({
        "int4, invariant, MR-SERVE-012, int4",
        "fp8, invariant, MR-SERVE-012, --products library",
        "auto, cublas, MR-SERVE-013, cublas",
        "auto, library:, MR-SERVE-013, library:ROWS",
        "auto, library:0, MR-SERVE-013, 1 or more",
        "auto, library:-1, MR-SERVE-013, library:-1",
        "auto, library:many, MR-SERVE-013, library:many",
        "auto, library:99999999999, MR-SERVE-013, library alone is library:256",
        "auto, librarys:4, MR-SERVE-013, librarys:4"
    })
    void whatIsNotThereIsNamed(String activations, String products, String code, String named) {
        assertThatThrownBy(() -> CpuSettings.of(activations, false, "", products))
                .isInstanceOfSatisfying(
                        MillraceException.class, e -> assertThat(e.code()).isEqualTo(code))
                .hasMessageContaining(named);
    }
}

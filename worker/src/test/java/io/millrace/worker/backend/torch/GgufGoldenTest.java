package io.millrace.worker.backend.torch;

import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.backend.torch.GoldenModels.Case;
import io.millrace.worker.model.Golden;
import io.millrace.worker.model.gguf.GgufConversion;
import java.io.IOException;
import java.nio.file.Path;
import java.util.stream.Stream;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The golden models of every family again, from GGUF files as llama.cpp's converter makes them. */
class GgufGoldenTest {

    static Stream<Case> cases() {
        return Case.folders();
    }

    @ParameterizedTest
    @MethodSource("cases")
    void greedyIdsAndLogitsAgree(Case model, @TempDir Path folder) throws IOException {
        check(model, folder, false);
    }

    @ParameterizedTest
    @ValueSource(strings = {"mixtral", "deepseek_v2"})
    void olderFilesAgreeToo(String family, @TempDir Path folder) throws IOException {
        check(Case.folder(family), folder, true);
    }

    private static void check(Case model, Path folder, boolean older) throws IOException {
        Path file = folder.resolve(model.name() + ".gguf");
        GgufConversion.convert(Golden.path(model.file()), file, older);
        float[] last = model.logits("logits_last");
        float[] step32 = model.logits("logits_step32");
        for (int length : model.lengths()) {
            try (ModelRuntime runtime = GoldenModels.load(file, GoldenModels.blocks(16, 512, length), 2)) {
                PagedRunner runner = new PagedRunner(runtime, 2);
                model.prompts(length).forEach(p -> TorchGoldenTest.check(runner, p, 100, last, step32));
            }
        }
    }
}

package io.millrace.worker.serving;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.backend.MemoryNeed;
import io.millrace.worker.backend.cpu.KernelLibrary;
import io.millrace.worker.model.GgufEdit;
import io.millrace.worker.model.Golden;
import io.millrace.worker.model.QuantGolden;
import io.millrace.worker.model.gguf.GgufFile;
import io.millrace.worker.model.hub.ResolvedModel;
import io.millrace.worker.text.Tokenizer;
import io.millrace.worker.text.hub.FolderTokenizers;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** What is known of a model before it is loaded, and what its files say of requests. */
@Timeout(60)
class ModelNeedsTest {

    private static final Path TINY = Golden.path("gguf/tiny-llama-f16.gguf");
    private static final ModelOptions OPTIONS =
            ModelOptions.DEFAULT.withEngine("torch").withKvMemoryBytes(16L << 20);

    private static ModelInfo info(Path path, ModelOptions options) {
        return ModelInfo.describe(new ResolvedModel("m", List.of(), path, "test"), options);
    }

    @Test
    void aQuantisedFolderSaysHowAndHowManyBits() {
        ModelInfo info = info(QuantGolden.of("awq-g32").folder(), OPTIONS);
        assertThat(info.format()).isEqualTo("AWQ 4 bit, groups of 32");
        assertThat(info.parameters()).isEqualTo(2 * 192 * 128 + 2 * (384 + 768) * 128 + 5 * 128);
        assertThat(info.bitsPerWeight()).isBetween(4.5, 8.0);
        assertThat(Objects.requireNonNull(info.need()).weightBytes()).isEqualTo(4 * info.parameters());
        assertThat(info.problem()).isNull();
    }

    @Test
    void theMockEngineNeedsNoMemoryForWeights() {
        assertThat(Objects.requireNonNull(info(TINY, OPTIONS.withEngine("mock")).need())
                        .totalBytes())
                .isZero();
    }

    @Test
    void tooLittleMemoryIsToldWithNumbersBeforeAnythingIsLoaded() {
        ModelInfo info = info(TINY, OPTIONS.withKvMemoryBytes(1L << 50).withMaxModelLen(64));
        assertThat(info.problem()).contains("MR-MEM-001", "needs", "available are", "short by", "Lower --kv-memory");
        List<String> heard = new ArrayList<>();
        MillraceException e = catchThrowableOfType(
                MillraceException.class,
                () -> ModelHost.fromEnvironment()
                        .load(TINY.toString(), OPTIONS.withKvMemoryBytes(1L << 50), ModelProgress.lines(heard::add)));
        assertThat(e.code()).isEqualTo("MR-MEM-001");
        assertThat(heard).isEmpty();
    }

    @Test
    void memoryOfTheHostForSwappedBlocksIsInTheNumbersWhereItIsUsed() {
        long without = Objects.requireNonNull(info(TINY, OPTIONS).need()).totalBytes();
        ModelInfo torch = info(TINY, OPTIONS.withKvHostBytes(8L << 20));
        assertThat(Objects.requireNonNull(torch.need()).totalBytes()).isEqualTo(without);
        assertThat(String.join("\n", torch.lines())).doesNotContain("swapped blocks");
        Assumptions.assumeTrue(KernelLibrary.find().isPresent(), "SKIPPED, the native kernels are not built");
        ModelOptions cpu = OPTIONS.withEngine("cpu");
        assertThat(Objects.requireNonNull(info(TINY, cpu).need()).swapBytes()).isZero();
        ModelInfo swapping = info(TINY, cpu.withKvHostBytes(8L << 20));
        assertThat(Objects.requireNonNull(swapping.need()).swapBytes()).isBetween(7L << 20, 8L << 20);
        assertThat(String.join("\n", swapping.lines())).contains("KV cache 16, swapped blocks 8");
        assertThat(info(TINY, cpu.withKvHostBytes(1L << 42)).problem())
                .contains("MR-MEM-001", "swapped blocks 4,194,304", "kv-host-memory");
    }

    @Test
    void aSequenceLongerThanTheCacheHoldsIsToldWithNumbers() {
        ModelInfo info = info(TINY, OPTIONS.withKvMemoryBytes(1 << 14).withMaxModelLen(256));
        assertThat(info.need()).isNull();
        assertThat(String.join("\n", info.lines())).contains("MR-MEM-001", "one sequence of 256", "--max-model-len");
    }

    @Test
    void twoModelsOfOneNameAreRefusedBeforeLoading() {
        ModelHost host = ModelHost.fromEnvironment();
        MillraceException e = catchThrowableOfType(
                MillraceException.class,
                () -> host.checkTogether(List.of("a=" + TINY, "mock:b", "b=" + TINY), OPTIONS, ModelProgress.NONE));
        assertThat(e.code()).isEqualTo("MR-SERVE-009");
        assertThat(e.getMessage()).contains("mock:b", "b=" + TINY, "served as b", "--model NAME=" + TINY);
        assertThat(catchThrowableOfType(
                                MillraceException.class,
                                () -> host.checkTogether(
                                        List.of("default", "smollm2-135m-instruct=mock"), OPTIONS, ModelProgress.NONE))
                        .code())
                .as("an alias is a name too")
                .isEqualTo("MR-SERVE-009");
    }

    @Test
    void modelsThatFitAloneButNotTogetherAreRefusedBeforeLoading() {
        ModelHost host = ModelHost.fromEnvironment();
        long available = Objects.requireNonNull(info(TINY, OPTIONS).need()).availableBytes();
        ModelOptions large = OPTIONS.withKvMemoryBytes(available / 5 * 3);
        assertThat(info(TINY, large).problem()).isNull();
        MillraceException e = catchThrowableOfType(
                MillraceException.class,
                () -> host.checkTogether(List.of("a=" + TINY, "mock", "b=" + TINY), large, ModelProgress.NONE));
        assertThat(e.code()).isEqualTo("MR-MEM-001");
        assertThat(e.getMessage()).contains("The sum of all models (a ", ", b ", "short by");
        host.checkTogether(List.of("a=" + TINY, "b=" + TINY), OPTIONS, ModelProgress.NONE);
        host.checkTogether(List.of("a=" + TINY, "mock:b"), large, ModelProgress.NONE);
        assertThat(new MemoryNeed(3, 4, 7).shortByBytes()).isZero();
    }

    @Test
    void whoSharesADeviceIsToldThatOthersHoldTheRest() {
        long gib = 1L << 30;
        String alone = String.valueOf(new MemoryNeed(90 * gib, gib, 0, 0, 0, true, 79 * gib, 80 * gib)
                .tooMuch("It", "weights")
                .getMessage());
        assertThat(alone)
                .contains("available are 80,896 MiB of the device's 81,920 MiB")
                .doesNotContain("nvidia-smi");
        String shared = String.valueOf(new MemoryNeed(9 * gib, gib, 0, 0, 0, true, 2 * gib, 80 * gib)
                .tooMuch("It", "weights")
                .getMessage());
        assertThat(shared).contains("Other processes").contains("nvidia-smi").contains("short by 8,192");
        assertThat(new MemoryNeed(9 * gib, gib, 2 * gib)
                        .tooMuch("It", "weights")
                        .getMessage())
                .contains("available are 2,048 MiB (short by 8,192")
                .doesNotContain("device");
    }

    @Test
    void whatIsKeptFreeIsAPartOfTheSumAndOfTheMessage() {
        long mib = 1L << 20;
        MemoryNeed exact =
                new MemoryNeed(700 * mib, 200 * mib, 60 * mib, 64 * mib, 8 * mib, true, 1024 * mib, 1024 * mib);
        assertThat(exact.totalBytes()).isEqualTo(1024 * mib);
        assertThat(exact.shortByBytes()).isZero();
        MemoryNeed more =
                new MemoryNeed(700 * mib, 201 * mib, 60 * mib, 64 * mib, 8 * mib, true, 1024 * mib, 1024 * mib);
        assertThat(more.shortByBytes()).isEqualTo(mib);
        assertThat(more.tooMuch("It", "weights").getMessage())
                .contains(
                        "It needs 1,025 MiB (weights 700, KV cache 201, workspace 60, kept free 64), available are 1,024 MiB")
                .contains("(short by 1)");
    }

    @Test
    void endIdsAreThoseOfAllFilesAndTheTurnEndsOfTheTemplate(@TempDir Path folder) throws IOException {
        Files.copy(Golden.path("tokenizers/smollm2/tokenizer.json"), folder.resolve("tokenizer.json"));
        Files.writeString(folder.resolve("config.json"), "{\"eos_token_id\": 5}");
        Files.writeString(folder.resolve("generation_config.json"), "{\"eos_token_id\": [0, 7]}");
        Tokenizer tokenizer = FolderTokenizers.open(folder);
        assertThat(tokenizer.eosIds()).containsExactlyInAnyOrder(0, 5, 7);
        int turnEnd = tokenizer.id("<|im_end|>");
        assertThat(turnEnd).isPositive();
        Tokenizer chat = TurnEnds.of(tokenizer, "{{ m.content }}<|im_end|>\n<|eot_id|>");
        assertThat(chat.eosIds()).containsExactlyInAnyOrder(0, 5, 7, turnEnd);
        assertThat(chat.eosIds()[0]).isEqualTo(tokenizer.eosIds()[0]);
        assertThat(chat.hash()).isEqualTo(tokenizer.hash());
        assertThat(chat.encode("a<|im_end|>", false, true)).isEqualTo(tokenizer.encode("a<|im_end|>", false, true));
        assertThat(TurnEnds.of(tokenizer, null)).isSameAs(tokenizer);
        assertThat(TurnEnds.of(tokenizer, "no such token")).isSameAs(tokenizer);
    }

    @Test
    void samplingDefaultsOfAGgufFileAreItsOwn(@TempDir Path folder) throws IOException {
        Path path = folder.resolve("m.gguf");
        try (GgufFile file = GgufFile.open(TINY)) {
            Map<String, Object> metadata = new LinkedHashMap<>(file.metadata());
            metadata.put("general.sampling.temp", 0.6);
            metadata.put("general.sampling.top_k", 20L);
            metadata.put("general.sampling.penalty_repeat", 1.05);
            GgufEdit.write(path, metadata, List.copyOf(file.tensors()));
        }
        try (OpenModel opened = OpenModel.open(path, "auto")) {
            ModelFiles files = (ModelFiles) opened;
            assertThat(files.generationDefaults()).isEqualTo(new GenerationDefaults(0.6, 20, 1, 0, 1, 1.05));
            assertThat(files.format()).isEqualTo("F16");
        }
        assertThat(catchThrowableOfType(
                                MillraceException.class,
                                () -> GenerationDefaults.ofGguf(path, Map.of("general.sampling.top_p", 3.0)))
                        .code())
                .isEqualTo("MR-SERVE-001");
    }

    @Test
    void aDefaultThatIsNullIsNoDefaultAndATextIsRefused(@TempDir Path folder) throws IOException {
        Path file = folder.resolve("generation_config.json");
        Files.writeString(file, "{\"temperature\": null, \"top_k\": null, \"top_p\": 0.9}");
        assertThat(GenerationDefaults.ofFolder(folder)).isEqualTo(new GenerationDefaults(1, 0, 0.9, 0, 1, 1));
        Files.writeString(file, "{\"temperature\": \"hot\"}");
        assertThat(catchThrowableOfType(MillraceException.class, () -> GenerationDefaults.ofFolder(folder))
                        .getMessage())
                .contains("temperature", "generation_config.json");
    }
}

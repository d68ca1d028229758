package io.millrace.bench;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.worker.model.config.DecoderConfig;
import io.millrace.worker.model.decoder.Decoder;
import io.millrace.worker.model.gguf.GgufFile;
import io.millrace.worker.model.weights.DType;
import io.millrace.worker.text.Tokenizer;
import io.millrace.worker.text.gguf.GgufTokenizers;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class RandomGgufTest {

    private static final BenchShape SMALL = new BenchShape("small", "qwen2", 256, 8, 4, 2, 64, 288, 300, 10_000, true);

    @TempDir
    Path folder;

    @Test
    void aModelOfRandomWeightsIsReadLikeAnyOther() {
        try (GgufFile file = GgufFile.open(RandomGguf.in(folder, SMALL, WeightMix.Q4_0))) {
            DecoderConfig config = DecoderConfig.fromGguf("small", file.metadata());

            assertThat(Decoder.of(config, file).vocabularySize()).isEqualTo(300);
            assertThat(file.tensor("blk.7.ffn_gate.weight").shape()).containsExactly(288, 256);
        }
    }

    @Test
    void oneThatIsServedHasAVocabularyOfBytes() {
        BenchShape wide = new BenchShape("wide", "llama", 64, 1, 4, 2, 32, 96, 300, 10_000, false);
        try (GgufFile file = GgufFile.open(RandomGguf.servedIn(folder, wide, WeightMix.BF16))) {
            Tokenizer tokenizer = GgufTokenizers.create("wide", file.metadata());

            assertThat(DecoderConfig.fromGguf("wide", file.metadata()).headDim())
                    .isEqualTo(32);
            assertThat(tokenizer.encode("a word, \u00e9", true, true)).hasSize(10);
            assertThat(tokenizer.bytes(298)).asString(StandardCharsets.UTF_8).isEqualTo("~298~");
            assertThat(tokenizer.eosIds()).containsExactly(299);
        }
    }

    @Test
    void typesAreThoseOfLlamaQuantize() {
        try (GgufFile file = GgufFile.open(RandomGguf.in(folder, SMALL, WeightMix.Q4_K_M))) {
            Map<String, DType> types = Map.of(
                    "token_embd.weight", DType.Q6_K,
                    "blk.0.attn_q.weight", DType.Q4_K,
                    "blk.0.attn_v.weight", DType.Q6_K,
                    "blk.1.attn_v.weight", DType.Q4_K,
                    "blk.0.ffn_down.weight", DType.Q8_0,
                    "blk.1.ffn_down.weight", DType.Q5_0);

            types.forEach((name, type) ->
                    assertThat(file.tensor(name).dtype()).as(name).isEqualTo(type));
        }
    }
}

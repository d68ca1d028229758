package io.millrace.bench;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.worker.model.config.DecoderConfig;
import io.millrace.worker.model.decoder.Decoder;
import io.millrace.worker.model.gguf.GgufFile;
import io.millrace.worker.model.weights.DType;
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

package io.millrace.worker.model.gguf;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.worker.model.TestModels;
import io.millrace.worker.model.weights.DType;
import org.junit.jupiter.api.Test;

class SmolLm2FileTest {

    @Test
    void the_default_model_is_read_and_its_hash_is_quick_and_stable() {
        long hash;
        try (GgufFile file = GgufFile.open(TestModels.smollm2())) {
            GgufModelCheck.validate(file);
            assertThat(file.tensors()).hasSize(272);
            assertThat(file.tensor("blk.0.attn_q.weight").dtype()).isEqualTo(DType.Q4_1);
            assertThat(file.tensor("token_embd.weight").shape()).containsExactly(49152, 576);
            hash = file.hash();
            long start = System.nanoTime();
            assertThat(file.hash()).isEqualTo(hash).isNotZero();
            assertThat(System.nanoTime() - start).isLessThan(250_000_000L);
        }
        try (GgufFile again = GgufFile.open(TestModels.smollm2())) {
            assertThat(again.hash()).isEqualTo(hash);
        }
    }
}

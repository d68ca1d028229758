package io.millrace.worker.serving;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import io.millrace.shared.error.MillraceException;
import io.millrace.shared.proto.Sampling;
import io.millrace.shared.proto.Submit;
import io.millrace.worker.backend.mock.MockTokens;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
class MockServedModelTest {

    private static Submit submit(int maxTokens) {
        return Submit.newBuilder()
                .setPromptText("hello")
                .setDeadlineMs(Long.MAX_VALUE)
                .setN(1)
                .setSampling(Sampling.newBuilder()
                        .setTemperature(0)
                        .setMaxTokens(maxTokens)
                        .setIgnoreEos(true))
                .build();
    }

    private static ServedModel load(String spec, ModelOptions options) {
        return ModelHost.fromEnvironment().load(spec, options, ModelProgress.NONE);
    }

    @Test
    void a_mock_answers_with_hashes_of_all_ids_before() {
        try (ServedModel model = load("mock:alpha", ModelOptions.DEFAULT.withMaxModelLen(256))) {
            Collected.Output output = Collected.run(model, "k", submit(20));
            int[] prompt = model.tokenizer().encode("hello", true, true);
            MockTokens tokens = new MockTokens(model.weightsHash(), 1024, 1023, 128);
            assertThat(output.ids())
                    .isEqualTo(Arrays.stream(tokens.greedy(prompt, 20)).boxed().toList());
            assertThat(output.finishReason()).isEqualTo("length");
            assertThat(model.maxModelLen()).isEqualTo(256);
            assertThat(model.name()).isEqualTo("alpha");
        }
    }

    @Test
    void mocks_of_one_name_agree_and_of_two_names_differ() {
        try (ServedModel one = load("mock", ModelOptions.DEFAULT);
                ServedModel same = load("mock", ModelOptions.DEFAULT);
                ServedModel other = load("b=mock", ModelOptions.DEFAULT)) {
            assertThat(one.weightsHash()).isEqualTo(same.weightsHash()).isNotEqualTo(other.weightsHash());
            assertThat(other.name()).isEqualTo("b");
            List<Integer> ids = Collected.run(one, "k", submit(8)).ids();
            assertThat(Collected.run(same, "k", submit(8)).ids()).isEqualTo(ids);
            assertThat(Collected.run(other, "k", submit(8)).ids()).isNotEqualTo(ids);
        }
    }

    @Test
    void the_mock_engine_stands_in_for_any_model_under_its_name() {
        try (ServedModel model = load("default", ModelOptions.DEFAULT.withEngine("mock"))) {
            assertThat(model.name()).isEqualTo("SmolLM2-135M-Instruct");
            assertThat(model.aliases())
                    .as("what it is called on the command line too")
                    .contains("HuggingFaceTB/SmolLM2-135M-Instruct", "default");
        }
    }

    @Test
    void an_engine_that_is_not_there_is_a_coded_error() {
        MillraceException refused =
                catchThrowableOfType(MillraceException.class, () -> ModelOptions.DEFAULT.withEngine("warp"));
        assertThat(refused.code()).isEqualTo("MR-SERVE-002");
        assertThat(refused.getMessage()).contains("warp");
    }
}

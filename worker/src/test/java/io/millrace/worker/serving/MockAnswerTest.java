package io.millrace.worker.serving;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class MockAnswerTest {
    private static final int END = MockModels.VOCABULARY - 1;

    @Test
    void aBrokenSurrogateIsTwoReplacementsAsInAWorkersText() {
        assertThat(MockAnswer.of(0xED, 0xA0, 300).text()).isEqualTo("\uFFFD\uFFFD wdaa");
    }

    @Test
    void theEndIsNoText() {
        assertThat(MockAnswer.of(300, END, 'a').text()).isEqualTo(" wdaaa");
    }

    @Test
    void anAnswerGoesOnAfterItsEnd() {
        MockAnswer answer = MockAnswer.sampled("alpha", "Why?", 400, 7);

        assertThat(answer.ids()).hasSize(400);
        assertThat(answer.text()).doesNotContain("end|>").isNotEmpty();
    }
}

package io.millrace.worker.journal;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.shared.proto.PrefixHint;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.LongStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

class PrefixHintsTest {

    private final PrefixHints hints = new PrefixHints();

    private Map<Long, Integer> told() {
        return hints.recent().stream().collect(Collectors.toMap(PrefixHint::getHash, PrefixHint::getTokens));
    }

    private static List<Long> shared(int count) {
        return LongStream.range(1, count + 1).boxed().toList();
    }

    private static List<Long> prompt(int shared, long ownFrom, int own) {
        return Stream.concat(
                        shared(shared).stream(),
                        LongStream.range(ownFrom, ownFrom + own).boxed())
                .toList();
    }

    @Test
    void aPromptIsToldByItsEndAndByLengthsThatDouble() {
        hints.computed(shared(12), 1_300, 0);
        assertThat(told())
                .containsOnly(
                        Map.entry(1L, 100),
                        Map.entry(2L, 200),
                        Map.entry(4L, 400),
                        Map.entry(8L, 800),
                        Map.entry(12L, 1_200));
    }

    @Test
    void whereTwoPromptsPartIsToldExactlyAndThoughManyOthersFollow() {
        hints.computed(prompt(11, 1_000, 3), 1_500, 0);
        hints.computed(prompt(11, 2_000, 3), 1_500, 0);
        assertThat(told()).containsEntry(11L, 1_100);
        for (int i = 0; i < 200; i++) {
            hints.computed(prompt(0, 10_000 + 10 * i, 4), 500, 0);
        }
        assertThat(told()).hasSize(128).containsKey(11L).doesNotContainKey(1_002L);
    }

    @Test
    void whatNoLongerFitsTheCacheIsNotToldAndTheBeginningStaysLongerThanTheEnd() {
        hints.computed(shared(4), 500, 1_000);
        hints.computed(prompt(0, 100, 4), 500, 1_000);
        assertThat(told()).containsKeys(1L, 2L, 4L, 100L);
        hints.computed(prompt(0, 200, 3), 400, 1_000);
        assertThat(told()).containsKeys(1L, 2L, 100L, 200L).doesNotContainKey(4L);
        hints.computed(prompt(0, 300, 8), 900, 1_000);
        assertThat(told()).containsKeys(300L, 307L).doesNotContainKeys(1L, 2L, 103L);
    }

    @Test
    void askingForAPrefixKeepsIt() {
        hints.computed(shared(3), 400, 1_000);
        hints.computed(prompt(0, 100, 4), 500, 1_000);
        hints.computed(shared(3), 400, 1_000);
        hints.computed(prompt(0, 200, 5), 600, 1_000);
        assertThat(told()).containsKeys(1L, 3L).doesNotContainKey(103L);
    }
}

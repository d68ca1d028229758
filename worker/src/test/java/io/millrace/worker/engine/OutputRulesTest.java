package io.millrace.worker.engine;

import static io.millrace.worker.engine.MockEngine.TOKENS;
import static io.millrace.worker.engine.MockEngine.VOCABULARY;
import static io.millrace.worker.engine.MockEngine.config;
import static io.millrace.worker.engine.MockEngine.mock;
import static io.millrace.worker.engine.Requests.ids;
import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.worker.backend.mock.MockConfig;
import io.millrace.worker.backend.mock.MockTokenizer;
import io.millrace.worker.backend.mock.MockTokens;
import io.millrace.worker.text.OutputForm;
import io.millrace.worker.text.OutputText;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.Test;

/** Stops, minimum and maximum lengths, and that a resumed choice goes on as if nothing had happened. */
class OutputRulesTest {

    private static final int[] PROMPT = ids(4, 9, VOCABULARY);

    @Test
    void aStopIdEndsTheChoiceWithoutItsText() throws Exception {
        try (MockEngine e = new MockEngine(config(100), mock(64))) {
            int[] ids = TOKENS.greedy(PROMPT, 30);
            int[] upToStop = Arrays.copyOf(ids, 11);
            Recorder r = e.run(Requests.of("a", PROMPT).maxTokens(30).stopIds(ids[10]));
            assertThat(r.ids(0)).isEqualTo(upToStop);
            assertThat(r.ended(0)).isEqualTo(new Recorder.Ended(11, "stop", Integer.toString(ids[10])));
            assertThat(r.text(0)).isEqualTo(text(Arrays.copyOf(ids, 10)));
            Recorder included = e.run(
                    Requests.of("b", PROMPT).maxTokens(30).stopIds(ids[10]).includeStop());
            assertThat(included.text(0)).isEqualTo(text(upToStop));
        }
    }

    @Test
    void eosEndsWithoutAReasonAndMinTokensForbidsItBefore() throws Exception {
        int eos = VOCABULARY - 1;
        MockTokens tokens = new MockTokens(5, VOCABULARY, eos, 3);
        int natural = tokens.greedy(PROMPT, 50).length;
        assertThat(natural).isLessThan(20);
        try (MockEngine e = new MockEngine(config(100), MockConfig.of(tokens, 4, 64))) {
            Recorder r = e.run(Requests.of("a", PROMPT).maxTokens(50).stopIds(eos));
            assertThat(r.ended(0)).isEqualTo(new Recorder.Ended(natural, "stop", ""));
            Recorder longer =
                    e.run(Requests.of("b", PROMPT).maxTokens(50).stopIds(eos).minTokens(20));
            assertThat(longer.ids(0).length).isGreaterThan(20);
            assertThat(Arrays.copyOf(longer.ids(0), 20)).doesNotContain(eos);
            Recorder ignored = e.run(Requests.of("c", PROMPT).maxTokens(50));
            assertThat(ignored.ended(0)).isEqualTo(new Recorder.Ended(50, "length", ""));
        }
    }

    @Test
    void aStopStringAcrossTokensIsCutOut() throws Exception {
        try (MockEngine e = new MockEngine(config(100), mock(64))) {
            int[] ids = TOKENS.greedy(PROMPT, 30);
            String stop = acrossTheBoundary(ids, 10);
            String whole = text(ids);
            Recorder r = e.run(Requests.of("a", PROMPT).maxTokens(30).stops("never", stop));
            assertThat(r.text(0)).isEqualTo(whole.substring(0, whole.indexOf(stop)));
            assertThat(r.ended(0)).isEqualTo(new Recorder.Ended(11, "stop", stop));
            Recorder late =
                    e.run(Requests.of("b", PROMPT).maxTokens(30).minTokens(11).stops(stop));
            assertThat(late.text(0)).isEqualTo(whole);
        }
    }

    @Test
    void textHeldBackForAStopStringComesWithTheEnd() throws Exception {
        try (MockEngine e = new MockEngine(config(100), mock(64))) {
            int[] ids = TOKENS.greedy(PROMPT, 12);
            String last = text(ids).substring(text(Arrays.copyOf(ids, 11)).length());
            Recorder r = e.run(Requests.of("a", PROMPT).maxTokens(12).stops(last + "!"));
            assertThat(r.text(0)).isEqualTo(text(ids));
            assertThat(r.pieces(0).getLast()).isNotEqualTo(last);
        }
    }

    @Test
    void badWordsAreNeverFinished() throws Exception {
        try (MockEngine e = new MockEngine(config(100), mock(64))) {
            int[] ids = TOKENS.greedy(PROMPT, 30);
            int[] word = {ids[7], ids[8], ids[9]};
            int[] got =
                    e.run(Requests.of("a", PROMPT).maxTokens(30).badWords(word)).ids(0);
            assertThat(Arrays.copyOf(got, 9)).isEqualTo(Arrays.copyOf(ids, 9));
            assertThat(got[9]).isNotEqualTo(ids[9]);
        }
    }

    @Test
    void aChoiceResumedAtAnyPositionIsThatOfAnUndisturbedRun() throws Exception {
        int eos = VOCABULARY - 1;
        MockTokens tokens = new MockTokens(5, VOCABULARY, eos, 12);
        int[] ids = tokens.greedy(PROMPT, 40);
        List<UnaryOperator<Requests>> kinds = List.of(
                r -> r,
                r -> r.stopIds(eos).minTokens(15),
                r -> r.stops(acrossTheBoundary(ids, 9)),
                r -> r.stops(acrossTheBoundary(ids, 9)).minTokens(12).includeStop(),
                r -> r.stopIds(ids[6]),
                r -> r.badWords(new int[] {ids[3], ids[4]}),
                r -> r.sampling(Requests.RANDOM, 31));
        try (MockEngine e = new MockEngine(config(60), MockConfig.of(tokens, 4, 64))) {
            for (int k = 0; k < kinds.size(); k++) {
                UnaryOperator<Requests> kind = kinds.get(k);
                Recorder whole =
                        e.run(kind.apply(Requests.of("whole" + k, PROMPT).maxTokens(40)));
                List<Recorder> parts = new ArrayList<>();
                for (int at = 1; at <= whole.ids(0).length; at++) {
                    int[] accepted = Arrays.copyOf(whole.ids(0), at);
                    parts.add(e.submit(kind.apply(Requests.of("r" + k + "-" + at, PROMPT)
                            .accepted(List.of(accepted))
                            .maxTokens(40))));
                }
                for (int at = 1; at <= parts.size(); at++) {
                    Recorder part = parts.get(at - 1).await();
                    String before = String.join("", whole.pieces(0).subList(0, at));
                    assertThat(part.ids(0)).as("kind %d at %d", k, at).isEqualTo(whole.ids(0));
                    assertThat(before + part.text(0)).isEqualTo(whole.text(0));
                    assertThat(part.ended(0)).isEqualTo(whole.ended(0));
                }
            }
        }
    }

    @Test
    void choicesThatEndedEarlierAreNotRunAgain() throws Exception {
        try (MockEngine e = new MockEngine(config(60), mock(64))) {
            int[] second = TOKENS.sampled(PROMPT, 20, 8, 1);
            Recorder r = e.run(Requests.of("a", PROMPT)
                    .sampling(Requests.RANDOM, 8)
                    .accepted(List.of(new int[] {3, 4}, Arrays.copyOf(second, 5), new int[0]))
                    .ended(true, false, false)
                    .maxTokens(20));
            assertThat(r.tokens(0)).isEmpty();
            assertThat(r.ids(1)).isEqualTo(second);
            assertThat(r.ids(2)).isEqualTo(TOKENS.sampled(PROMPT, 20, 8, 2));
        }
    }

    /** Three characters on either side of the boundary between two tokens of the output. */
    private static String acrossTheBoundary(int[] ids, int token) {
        int at = text(Arrays.copyOf(ids, token)).length();
        return text(ids).substring(at - 2, at + 3);
    }

    private static String text(int[] ids) {
        OutputText text = new OutputText(new MockTokenizer(VOCABULARY), List.of(), false, OutputForm.plain(true), 0);
        StringBuilder all = new StringBuilder();
        for (int id : ids) {
            all.append(text.push(id));
        }
        return all.append(text.finish()).toString();
    }
}

package io.millrace.bench.chaos;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/**
 * What the oracle says of a run: every answer against the undisturbed one.
 *
 * @param whole answers that are what they had to be
 * @param failed streams that got no whole answer, with why
 * @param wrong streams whose text, ids or usage are others
 * @param tokensLost of whole answers, tokens that are missing
 * @param tokensDoubled tokens that came again
 * @param tokensSpliced tokens that do not follow from those before
 * @param ends how journals ended, counted
 */
record Judgement(
        int whole,
        List<String> failed,
        List<String> wrong,
        long tokensLost,
        long tokensDoubled,
        long tokensSpliced,
        Map<String, Integer> ends) {

    static Judgement of(Questions questions, List<StreamResult> results, JournalWatch watch) {
        Map<String, JournalWatch.Conclusion> journals = watch.conclusions();
        List<String> failed = new ArrayList<>();
        List<String> wrong = new ArrayList<>();
        long[] tokens = new long[3];
        int whole = 0;
        for (StreamResult result : results) {
            Ask ask = result.ask();
            if (result.error() != null) {
                failed.add(ask.number() + " (" + result.id() + "): " + result.error());
                continue;
            }
            String fault = fault(questions, result, journals.get(StreamState.requestId(result.id())), tokens);
            if (fault == null) {
                whole++;
            } else {
                wrong.add(ask.number() + " (" + result.id() + "): " + fault);
            }
        }
        Map<String, Integer> ends = new TreeMap<>();
        journals.values().forEach(each -> ends.merge(each.end(), 1, Integer::sum));
        return new Judgement(whole, failed, wrong, tokens[0], tokens[1], tokens[2], ends);
    }

    private static @Nullable String fault(
            Questions questions, StreamResult result, JournalWatch.@Nullable Conclusion journal, long[] tokens) {
        String expected = questions.text(result.ask());
        int[] ids = questions.ids(result.ask());
        if (journal == null) {
            return "its journal did not end";
        }
        if (ids != null) {
            int[] got = journal.ids().stream().mapToInt(Integer::intValue).toArray();
            if (!Arrays.equals(ids, got)) {
                compare(ids, got, tokens);
                return "its ids differ at " + Arrays.mismatch(ids, got) + " of " + ids.length;
            }
        }
        if (!journal.text().equals(result.text())) {
            tokens[2]++;
            return "the client has another text than the journal: " + result.text() + " | " + journal.text();
        }
        if (!expected.equals(result.text())) {
            tokens[2]++;
            return "its text differs: " + result.text() + " | " + expected;
        }
        if (result.usage() != result.ask().tokens()
                || journal.ids().size() != result.ask().tokens()) {
            return "usage " + result.usage() + " and " + journal.ids().size() + " ids for "
                    + result.ask().tokens() + " tokens";
        }
        return result.finish().equals("length") ? null : "it ended with " + result.finish();
    }

    /** Adds to lost, doubled, spliced. */
    static void compare(int[] expected, int[] got, long[] tokens) {
        int same = Arrays.mismatch(expected, got);
        if (same < 0) {
            return;
        }
        if (same == got.length) {
            tokens[0] += expected.length - got.length;
        } else if (same > 0 && got[same] == got[same - 1]) {
            tokens[1]++;
        } else if (Arrays.stream(expected, same, expected.length).anyMatch(id -> id == got[same])) {
            tokens[0]++;
        } else {
            tokens[2] += got.length - same;
        }
    }
}

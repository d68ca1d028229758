package io.millrace.worker.serving;

import io.millrace.shared.error.MillraceException;
import io.millrace.shared.proto.Sampling;
import io.millrace.worker.sampling.TokenMask;
import io.millrace.worker.text.Tokenizer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** What a request says of single tokens and texts of its output, checked: stops, bad words, allowed ids. Thread-safe. */
final class TokenFields {

    private static final int MAX_STOPS = 64;
    private static final int MAX_BAD_WORDS = 256;

    private final Tokenizer tokenizer;
    private final int vocabulary;

    /** @param vocabulary ids are below it */
    TokenFields(Tokenizer tokenizer, int vocabulary) {
        this.tokenizer = tokenizer;
        this.vocabulary = vocabulary;
    }

    /** Null: every id. */
    @Nullable
    TokenMask allowed(Sampling s) {
        if (s.getAllowedTokenIdsCount() == 0) {
            return null;
        }
        for (int id : s.getAllowedTokenIdsList()) {
            check("allowed_token_ids", id);
        }
        return TokenMask.of(s.getAllowedTokenIdsList(), vocabulary);
    }

    private void check(String field, int id) {
        if (id < 0 || id >= vocabulary) {
            throw Refusal.invalid(
                    field,
                    field + " holds " + Integer.toUnsignedString(id) + "; the model's ids are 0 to " + (vocabulary - 1)
                            + ".");
        }
    }

    /** The model's own, unless they are to be ignored, and the request's. */
    int[] stopIds(Sampling s) {
        Set<Integer> ids = new LinkedHashSet<>();
        if (!s.getIgnoreEos()) {
            for (int id : tokenizer.eosIds()) {
                ids.add(id);
            }
        }
        for (int id : s.getStopTokenIdsList()) {
            check("stop_token_ids", id);
            ids.add(id);
        }
        return ids.stream().mapToInt(Integer::intValue).toArray();
    }

    List<String> stopStrings(Sampling s) {
        if (s.getStopCount() > MAX_STOPS) {
            throw Refusal.invalid("stop", "stop has " + s.getStopCount() + " strings; at most " + MAX_STOPS + " work.");
        }
        for (String stop : s.getStopList()) {
            if (stop.isEmpty()) {
                throw Refusal.invalid("stop", "stop holds an empty string, which would match everywhere.");
            }
        }
        return List.copyOf(s.getStopList());
    }

    /** Each word as it stands at the start of a text and after a space. */
    List<int[]> badWords(Sampling s) {
        if (s.getBadWordsCount() > MAX_BAD_WORDS) {
            throw Refusal.invalid(
                    "bad_words",
                    "bad_words has " + s.getBadWordsCount() + " words; at most " + MAX_BAD_WORDS + " work.");
        }
        List<int[]> all = new ArrayList<>();
        for (String word : s.getBadWordsList()) {
            String bare = word.stripLeading();
            if (bare.isEmpty()) {
                throw Refusal.invalid("bad_words", "bad_words holds an empty word.");
            }
            int[] first = ids(bare);
            int[] later = ids(" " + bare);
            all.add(first);
            if (!Arrays.equals(first, later)) {
                all.add(later);
            }
        }
        return List.copyOf(all);
    }

    private int[] ids(String word) {
        try {
            return tokenizer.encode(word, false, false);
        } catch (MillraceException e) {
            throw Refusal.invalid("bad_words", e.toString());
        }
    }
}

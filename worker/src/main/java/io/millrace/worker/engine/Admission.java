package io.millrace.worker.engine;

import io.millrace.shared.error.MillraceException;
import org.jspecify.annotations.Nullable;

/** What an engine refuses because it could never run it: coded, with the numbers. Thread-safe. */
final class Admission {

    private final EngineConfig config;
    private final int vocabulary;

    Admission(EngineConfig config, int vocabulary) {
        this.config = config;
        this.vocabulary = vocabulary;
    }

    /** Null when the request can run. */
    @Nullable
    MillraceException refuse(GenerationRequest r) {
        int prompt = r.promptIds().length;
        if (prompt == 0 || r.n() < 1 || r.accepted().size() != r.n() || r.ended().length != r.n()) {
            return new MillraceException(
                    "MR-ENGINE-010",
                    "Malformed execution: " + prompt + " prompt ids, n " + r.n() + ", "
                            + r.accepted().size() + " accepted, " + r.ended().length + " ended.");
        }
        if (prompt >= config.maxModelLen()) {
            return new MillraceException(
                    "MR-ENGINE-002",
                    "The prompt has " + prompt + " tokens, which leaves no room in the context of "
                            + config.maxModelLen() + ". Shorten the prompt, or serve with a larger context.");
        }
        if (r.n() > config.maxRunning()) {
            return new MillraceException(
                    "MR-ENGINE-003",
                    "n is " + r.n() + ", but only " + config.maxRunning()
                            + " sequences run at a time. Ask for fewer choices, or raise max-running.");
        }
        int bad = badId(r.promptIds());
        for (int[] accepted : r.accepted()) {
            bad = bad >= 0 ? bad : badId(accepted);
        }
        return bad < 0 ? null : outsideVocabulary(bad);
    }

    /** Null when the request can run. */
    @Nullable
    MillraceException refuse(PoolingRequest r) {
        if (r.inputs().isEmpty()) {
            return new MillraceException("MR-ENGINE-010", "Malformed execution: no inputs.");
        }
        for (PoolingRequest.Input input : r.inputs()) {
            int n = input.ids().length;
            if (n == 0 || input.types().length != n) {
                return new MillraceException(
                        "MR-ENGINE-010",
                        "Malformed execution: an input of " + n + " ids, " + input.types().length + " types.");
            }
            if (n > config.maxModelLen()) {
                return new MillraceException(
                        "MR-ENGINE-002",
                        "An input has " + n + " tokens, more than the context of " + config.maxModelLen()
                                + ". Shorten it.");
            }
            int bad = badId(input.ids());
            if (bad >= 0) {
                return outsideVocabulary(bad);
            }
        }
        return null;
    }

    private MillraceException outsideVocabulary(int index) {
        return new MillraceException(
                "MR-ENGINE-010", "An id at index " + index + " is outside the vocabulary of " + vocabulary + ".");
    }

    private int badId(int[] ids) {
        for (int i = 0; i < ids.length; i++) {
            if (ids[i] < 0 || ids[i] >= vocabulary) {
                return i;
            }
        }
        return -1;
    }
}

package io.millrace.shared.fold;

/** What the fold made of one record. */
public sealed interface Verdict {

    /** The record is part of the request's story. */
    record Accepted() implements Verdict {
        static final Accepted INSTANCE = new Accepted();
    }

    /** The record has no effect, except that {@link Reason#GAP} ends the attempt that wrote it. */
    record Ignored(Reason reason) implements Verdict {
        private static final Ignored[] ALL = new Ignored[Reason.values().length];

        static {
            for (Reason reason : Reason.values()) {
                ALL[reason.ordinal()] = new Ignored(reason);
            }
        }
    }

    static Verdict accepted() {
        return Accepted.INSTANCE;
    }

    static Verdict ignored(Reason reason) {
        return Ignored.ALL[reason.ordinal()];
    }

    default boolean isAccepted() {
        return this instanceof Accepted;
    }

    default boolean isIgnored(Reason reason) {
        return this instanceof Ignored ignored && ignored.reason() == reason;
    }

    /** Why a record was ignored. */
    enum Reason {
        /** Not a journal record, or without its obligatory fields. */
        MALFORMED,
        /** It belongs to another request than the journal it was applied to, or to one below the reader's floor. */
        WRONG_REQ,
        /** The journal has not begun: no ADMIT or REJECT before it. */
        NO_ADMIT,
        /** A second ADMIT or REJECT, or output at a position that is accepted already. */
        DUPLICATE,
        /** The request has ended. */
        TERMINAL,
        /** A claim, fence or refusal that does not follow the current attempt: another came first. */
        LATE_ATTEMPT,
        /** A claim for other weights than ADMIT's. */
        WEIGHTS,
        /** A claim under an aid that this journal has accepted before. */
        AID_REUSED,
        /** Output, END, FAIL or YIELD of an execution that is not the current one. */
        STALE_AID,
        /** Output beyond what is accepted, so something before it was lost: the attempt is dead from here on. */
        GAP,
        /** Output of an attempt that a gap has killed. */
        DEAD_ATTEMPT,
        /** Output of an attempt that has yielded. */
        YIELDED,
        /** A choice or index that does not exist. */
        NO_SUCH_CHOICE,
        /** Output of a choice, or part of an index, that has ended. */
        CHOICE_ENDED,
        /** END or FAIL whose count is below the accepted one. */
        COUNT,
        /** A kind of record that the fold leaves out (DUP, or one of a later version). */
        NOT_FOLDED
    }
}

package io.millrace.bench.chaos;

/** Where a request is in its life, as its journal shows it. */
enum Phase {
    /** Sent, but without an ADMIT in the log. */
    BEFORE_ADMISSION("before admission"),
    /** Admitted, not claimed. */
    QUEUED("queued"),
    /** Claimed the first time, without a token. */
    PREFILL("prefill"),
    DECODING("decoding"),
    /** The last fifth of its tokens. */
    NEAR_END("near the end"),
    /** Claimed again after a fault, without a token since. */
    RESUMING("resuming");

    private final String words;

    Phase(String words) {
        this.words = words;
    }

    String words() {
        return words;
    }
}

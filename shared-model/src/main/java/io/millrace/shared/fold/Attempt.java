package io.millrace.shared.fold;

import com.google.protobuf.ByteString;
import io.millrace.shared.proto.Claim;

/** The current attempt: its claim, and what became of it. */
final class Attempt {

    final Claim claim;
    final long offset;
    final long timestampMs;
    /** A gap ended it. */
    boolean dead;

    boolean yielded;
    String yieldCause = "";
    /** Tokens accepted under this aid. */
    int tokens;

    long lastOutputMs;

    Attempt(Claim claim, long offset, long timestampMs) {
        this.claim = claim;
        this.offset = offset;
        this.timestampMs = timestampMs;
    }

    ByteString aid() {
        return claim.getAid();
    }
}

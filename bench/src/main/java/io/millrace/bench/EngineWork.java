package io.millrace.bench;

import io.millrace.shared.error.MillraceException;
import java.util.Arrays;
import java.util.List;

/** What is measured together: one run of ours, one process of a peer. Rates are tokens a second. */
enum EngineWork {
    /** A prompt of 512, then 64 tokens of one stream from an empty cache: llama-bench's {@code pp512} and {@code tg64}. */
    ONE(512, 64, 1, "prefill 512", "decode 1"),
    /** 16 streams with 128 tokens each, then 64 tokens of each: llama-batched-bench. */
    STREAMS(128, 64, 16, "prefill 16 x 128", "decode 16"),
    /** A prompt of 8,192, then 32 tokens behind it: llama-batched-bench. */
    LONG(8192, 32, 1, "prefill 8k", "decode at 8k");

    final int prompt;
    final int tokens;
    final int streams;
    final String prefill;
    final String decode;

    EngineWork(int prompt, int tokens, int streams, String prefill, String decode) {
        this.prompt = prompt;
        this.tokens = tokens;
        this.streams = streams;
        this.prefill = prefill;
        this.decode = decode;
    }

    /** MR-BENCH-002 when there is none of that name. */
    static EngineWork of(String name) {
        return Arrays.stream(values())
                .filter(work -> work.name().equalsIgnoreCase(name))
                .findFirst()
                .orElseThrow(() -> new MillraceException(
                        "MR-BENCH-002", "There is no work " + name + "; use one of one, streams, long."));
    }

    /** The two rates that it gives. */
    List<String> rates() {
        return List.of(prefill, decode);
    }

    /** Tokens that the cache must hold for each stream. */
    int room() {
        return prompt + tokens;
    }
}

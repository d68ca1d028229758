package io.millrace.worker.sampling;

/** The ids of a sequence: prompt, then output. */
public interface TokenHistory {

    int promptLength();

    /** Prompt and output. */
    int length();

    int get(int index);
}

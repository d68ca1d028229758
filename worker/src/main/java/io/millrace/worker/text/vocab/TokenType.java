package io.millrace.worker.text.vocab;

/** What a token is, in the numbers of {@code tokenizer.ggml.token_type}; sentencepiece's are the same. */
public final class TokenType {

    static final int UNDEFINED = 0;
    public static final int NORMAL = 1;
    public static final int UNKNOWN = 2;
    public static final int CONTROL = 3;
    public static final int USER_DEFINED = 4;
    public static final int UNUSED = 5;
    public static final int BYTE = 6;

    private TokenType() {}
}

package io.millrace.worker.program;

/**
 * Numbers of the ops in the encoded form. A number is never used again for something else; {@code docs/step-program.md} is the
 * contract of each.
 */
public enum OpCode {
    EMBED(1),
    RMS_NORM(2),
    LINEAR(3),
    ROPE(4),
    KV_WRITE(5),
    ATTENTION(6),
    GATED(7),
    ADD(8),
    SCALE(9),
    SOFT_CAP(10),
    GATHER_ROWS(11),
    LOGITS(12),
    SAMPLE(13),
    SIGMOID_SCALE(14),
    /** Reserved: rows of {@code inputEmbeds} in place of embedded tokens. */
    EMBED_ROWS(32),
    /** Reserved: low-rank update of a linear layer by {@code adapter[S]}. */
    LORA(33),
    MOE_ROUTE(34),
    MOE_EXPERTS(35),
    LATENT_ATTENTION(36),
    LAYER_NORM(40),
    ACTIVATION(41),
    SELF_ATTENTION(42),
    EMBED_POSITIONS(43),
    EMBED_TYPES(44),
    POOL(45),
    OUTPUT(46),
    /** Reserved: tensor parallelism. */
    ALL_REDUCE(64),
    /** Reserved: tensor parallelism. */
    ALL_GATHER(65),
    /** Reserved: pipeline parallelism. */
    SEND(66),
    /** Reserved: pipeline parallelism. */
    RECEIVE(67);

    private final int number;

    OpCode(int number) {
        this.number = number;
    }

    /** As encoded. */
    public int number() {
        return number;
    }
}

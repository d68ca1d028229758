package io.millrace.worker.journal;

import io.millrace.shared.output.ReasoningFormat;
import io.millrace.shared.output.ToolFormat;
import io.millrace.shared.proto.Submit;
import io.millrace.worker.engine.Engine;
import java.util.List;
import java.util.Set;

/** One model as this worker serves it. Thread-safe. */
public interface HostedModel {

    /** Name under which it is served. */
    String name();

    List<String> aliases();

    /** 64-bit hash of the weights: attempts run only on the weights of their ADMIT. */
    long weightsHash();

    long tokenizerHash();

    /** Instruction set, build and dtype: bits are equal within one id. */
    String numericsId();

    /** Most tokens of prompt and output together. */
    int maxModelLen();

    Set<Submit.Task> tasks();

    String dtype();

    /** Number of weights. */
    long parameters();

    /** How it writes calls of functions. */
    default ToolFormat toolFormat() {
        return ToolFormat.GENERIC;
    }

    /** How it writes its reasoning. */
    default ReasoningFormat reasoningFormat() {
        return ReasoningFormat.NONE;
    }

    /** The engine that runs it. */
    Engine engine();

    /** Bytes a token stands for. */
    byte[] tokenBytes(int id);

    /**
     * Templates, tokenises and validates a request; takes milliseconds, does no I/O, does not touch the engine.
     *
     * @param key of the execution in the engine
     * @param accepted one entry per choice: output ids of earlier attempts
     * @param ended one entry per choice
     * @param solo runs alone
     */
    Preparation prepare(String key, Submit submit, List<int[]> accepted, boolean[] ended, boolean solo);
}

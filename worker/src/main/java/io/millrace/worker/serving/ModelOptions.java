package io.millrace.worker.serving;

import io.millrace.shared.error.MillraceException;
import io.millrace.shared.output.ReasoningFormat;
import io.millrace.shared.output.ToolFormat;
import io.millrace.worker.backend.KvType;
import io.millrace.worker.backend.cpu.CpuSettings;
import java.util.List;
import java.util.function.Consumer;

/**
 * How a model is to be served; 0 means "choose".
 *
 * @param engine {@code auto}, {@code cpu}, {@code cuda}, {@code torch} or {@code mock}
 * @param maxModelLen most tokens of prompt and output together; 0: the model's own limit, lowered to what the KV cache holds
 * @param forceMaxModelLen whether {@code maxModelLen} may be beyond what the checkpoint is made for
 * @param kvMemoryBytes of the KV cache; 0: 1 GiB, at most a sixteenth of the machine's memory
 * @param kvHostBytes of the host's memory for KV blocks of preempted sequences; 0: they are computed anew; {@link #CHOOSE}: as the engine gains from it
 * @param maxRunning most sequences in a step; 0: the engine's default
 * @param stepTokens most token rows of a step; 0: the engine's default
 * @param threads that compute; 0: one per processor
 * @param mockStepNanos what a step of the mock engine takes
 * @param mockRowNanos what each token row of it adds
 * @param task {@code auto} (what its files say), {@code generate}, {@code embed} or {@code score}
 * @param kvType in which keys and values are kept
 * @param cpu how the cpu engine computes
 * @param toolFormat how it writes calls of functions: a {@link ToolFormat}, or {@code auto} (what its template says)
 * @param reasoningFormat how it writes its reasoning: a {@link ReasoningFormat}, or {@code auto}
 */
public record ModelOptions(
        String engine,
        int maxModelLen,
        boolean forceMaxModelLen,
        long kvMemoryBytes,
        long kvHostBytes,
        int maxRunning,
        int stepTokens,
        int threads,
        long mockStepNanos,
        long mockRowNanos,
        String task,
        KvType kvType,
        CpuSettings cpu,
        String toolFormat,
        String reasoningFormat) {

    private static final List<String> TASKS = List.of("auto", "generate", "embed", "score");

    /** Of {@code kvHostBytes}. */
    public static final long CHOOSE = -1;

    public static final ModelOptions DEFAULT = new ModelOptions(
            "auto", 0, false, 0, CHOOSE, 0, 0, 0, 0, 0, "auto", KvType.F32, CpuSettings.DEFAULT, "auto", "auto");

    public ModelOptions {
        switch (engine) {
            case "auto", "cpu", "cuda", "torch", "mock" -> {}
            default ->
                throw new MillraceException(
                        "MR-SERVE-002", "There is no engine " + engine + ". Choose auto, cpu, cuda, torch or mock.");
        }
        if (!TASKS.contains(task)) {
            throw new MillraceException(
                    "MR-SERVE-007", "There is no task " + task + ". Choose " + String.join(", ", TASKS) + ".");
        }
        checkFormat("tool", toolFormat, ToolFormat.names());
        checkFormat("reasoning", reasoningFormat, ReasoningFormat.names());
        check("max-model-len", maxModelLen);
        check("kv-memory", kvMemoryBytes);
        check("kv-host-memory", kvHostBytes == CHOOSE ? 0 : kvHostBytes);
        check("max-running", maxRunning);
        check("step-tokens", stepTokens);
        check("threads", threads);
        check("mock-step", mockStepNanos);
        check("mock-row", mockRowNanos);
    }

    private static void checkFormat(String what, String format, List<String> known) {
        if (!format.equals("auto") && !known.contains(format)) {
            throw new MillraceException(
                    "MR-SERVE-011",
                    "There is no " + what + " format " + format + ". Choose auto, " + String.join(", ", known) + ".");
        }
    }

    private static void check(String name, long value) {
        if (value < 0) {
            throw new MillraceException("MR-SERVE-003", name + " is " + value + "; it must not be negative.");
        }
    }

    public ModelOptions withEngine(String value) {
        return with(copy -> copy.engine = value);
    }

    public ModelOptions withMaxModelLen(int value) {
        return with(copy -> copy.maxModelLen = value);
    }

    public ModelOptions withForceMaxModelLen(boolean value) {
        return with(copy -> copy.forceMaxModelLen = value);
    }

    public ModelOptions withKvMemoryBytes(long value) {
        return with(copy -> copy.kvMemoryBytes = value);
    }

    public ModelOptions withKvHostBytes(long value) {
        return with(copy -> copy.kvHostBytes = value);
    }

    public ModelOptions withThreads(int value) {
        return with(copy -> copy.threads = value);
    }

    public ModelOptions withMockStepNanos(long value) {
        return with(copy -> copy.mockStepNanos = value);
    }

    public ModelOptions withTask(String value) {
        return with(copy -> copy.task = value);
    }

    public ModelOptions withKvType(KvType value) {
        return with(copy -> copy.kvType = value);
    }

    public ModelOptions withCpu(CpuSettings value) {
        return with(copy -> copy.cpu = value);
    }

    private ModelOptions with(Consumer<Copy> change) {
        Copy copy = new Copy(this);
        change.accept(copy);
        return copy.options();
    }

    /** Options that can still be changed. */
    private static final class Copy {

        private String engine;
        private int maxModelLen;
        private boolean forceMaxModelLen;
        private long kvMemoryBytes;
        private long kvHostBytes;
        private final int maxRunning;
        private final int stepTokens;
        private int threads;
        private long mockStepNanos;
        private final long mockRowNanos;
        private String task;
        private KvType kvType;
        private CpuSettings cpu;
        private final String toolFormat;
        private final String reasoningFormat;

        Copy(ModelOptions from) {
            engine = from.engine;
            maxModelLen = from.maxModelLen;
            forceMaxModelLen = from.forceMaxModelLen;
            kvMemoryBytes = from.kvMemoryBytes;
            kvHostBytes = from.kvHostBytes;
            maxRunning = from.maxRunning;
            stepTokens = from.stepTokens;
            threads = from.threads;
            mockStepNanos = from.mockStepNanos;
            mockRowNanos = from.mockRowNanos;
            task = from.task;
            kvType = from.kvType;
            cpu = from.cpu;
            toolFormat = from.toolFormat;
            reasoningFormat = from.reasoningFormat;
        }

        ModelOptions options() {
            return new ModelOptions(
                    engine,
                    maxModelLen,
                    forceMaxModelLen,
                    kvMemoryBytes,
                    kvHostBytes,
                    maxRunning,
                    stepTokens,
                    threads,
                    mockStepNanos,
                    mockRowNanos,
                    task,
                    kvType,
                    cpu,
                    toolFormat,
                    reasoningFormat);
        }
    }
}

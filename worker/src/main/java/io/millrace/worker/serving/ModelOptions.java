package io.millrace.worker.serving;

import io.millrace.shared.error.MillraceException;
import io.millrace.shared.output.ReasoningFormat;
import io.millrace.shared.output.ToolFormat;
import io.millrace.worker.backend.KvType;
import io.millrace.worker.backend.cpu.CpuSettings;
import java.util.List;

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
        return new ModelOptions(
                value,
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

    public ModelOptions withMaxModelLen(int value) {
        return new ModelOptions(
                engine,
                value,
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

    public ModelOptions withForceMaxModelLen(boolean value) {
        return new ModelOptions(
                engine,
                maxModelLen,
                value,
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

    public ModelOptions withKvMemoryBytes(long value) {
        return new ModelOptions(
                engine,
                maxModelLen,
                forceMaxModelLen,
                value,
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

    public ModelOptions withMaxRunning(int value) {
        return new ModelOptions(
                engine,
                maxModelLen,
                forceMaxModelLen,
                kvMemoryBytes,
                kvHostBytes,
                value,
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

    public ModelOptions withStepTokens(int value) {
        return new ModelOptions(
                engine,
                maxModelLen,
                forceMaxModelLen,
                kvMemoryBytes,
                kvHostBytes,
                maxRunning,
                value,
                threads,
                mockStepNanos,
                mockRowNanos,
                task,
                kvType,
                cpu,
                toolFormat,
                reasoningFormat);
    }

    public ModelOptions withThreads(int value) {
        return new ModelOptions(
                engine,
                maxModelLen,
                forceMaxModelLen,
                kvMemoryBytes,
                kvHostBytes,
                maxRunning,
                stepTokens,
                value,
                mockStepNanos,
                mockRowNanos,
                task,
                kvType,
                cpu,
                toolFormat,
                reasoningFormat);
    }

    public ModelOptions withMockStepNanos(long value) {
        return new ModelOptions(
                engine,
                maxModelLen,
                forceMaxModelLen,
                kvMemoryBytes,
                kvHostBytes,
                maxRunning,
                stepTokens,
                threads,
                value,
                mockRowNanos,
                task,
                kvType,
                cpu,
                toolFormat,
                reasoningFormat);
    }

    public ModelOptions withTask(String value) {
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
                value,
                kvType,
                cpu,
                toolFormat,
                reasoningFormat);
    }

    public ModelOptions withKvType(KvType value) {
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
                value,
                cpu,
                toolFormat,
                reasoningFormat);
    }

    public ModelOptions withCpu(CpuSettings value) {
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
                value,
                toolFormat,
                reasoningFormat);
    }

    public ModelOptions withFormats(String tools, String reasoning) {
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
                tools,
                reasoning);
    }

    public ModelOptions withKvHostBytes(long value) {
        return new ModelOptions(
                engine,
                maxModelLen,
                forceMaxModelLen,
                kvMemoryBytes,
                value,
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

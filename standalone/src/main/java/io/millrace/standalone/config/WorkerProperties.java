package io.millrace.standalone.config;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.journal.WorkerConfig;
import io.millrace.worker.serving.ModelOptions;
import java.time.Duration;
import java.util.List;
import org.springframework.boot.context.properties.ConfigurationProperties;
import org.springframework.boot.context.properties.bind.DefaultValue;
import org.springframework.util.unit.DataSize;

/**
 * Workers and the models they serve.
 *
 * @param count workers in this process
 * @param models what each serves: {@code [NAME=]SPEC}; SPEC is {@code default}, a .gguf file, a folder, {@code hf:org/name} or
 *     {@code mock}
 * @param engine {@code auto}, {@code torch}, {@code cpu}, {@code cuda} or {@code mock}
 * @param task {@code auto} (what the model's files say), {@code generate}, {@code embed} or {@code score}
 * @param toolFormat how models write calls of functions; {@code auto}: what their templates say
 * @param reasoningFormat how models write their reasoning; {@code auto}: what their templates and vocabularies say
 * @param maxModelLen most tokens of prompt and output together; 0: the model's own limit
 * @param forceMaxModelLen whether that may be beyond what the checkpoint is made for
 * @param kvMemory memory of each model's KV cache; 0: chosen by the machine's memory
 * @param kvHostMemory of the machine's memory for KV blocks of preempted sequences; {@code auto}: with the cuda engine as much as its cache, at most
 *     4 GB and an eighth of what is available, else none
 * @param kvDtype in which keys and values are kept: {@code f32}, {@code f16}, {@code bf16}, {@code int8} or {@code fp8}
 * @param maxRunning most sequences in a step; 0: chosen by the engine
 * @param stepTokens most token rows of a step; 0: chosen by the engine
 * @param threads that compute, of each model of each worker; 0: the processors divided among them
 * @param pinThreads whether the cpu engine's helpers stay on one processor each
 * @param activations with which the cpu engine multiplies quantised weights: {@code auto} (int8) or {@code float}; {@code fp8} with cuda
 * @param products by which products of many rows are computed in the cuda engine: {@code invariant}, or {@code library} (cuBLASLt) with the least number of rows after a colon
 * @param repackCache folder where the cpu engine keeps packed weights for the next start; empty: nowhere
 * @param mockStep what a step of the mock engine takes
 * @param mockRow what each token row of it adds
 * @param id name of the worker; empty: {@code worker-} and random digits. With several workers a number is added
 * @param slot partition of assignments that it reads; -1: one that no live worker reads
 * @param livenessHost under which routers reach its liveness listener; empty: this host's address
 * @param livenessPort of that listener; 0: any free one; -1: none
 * @param beatInterval between heartbeats
 * @param lease without any confirmed append for so long, the worker stops all its attempts
 * @param drainGrace how long running requests may still finish in a drain before they are handed over
 * @param debugEndpoints whether {@code POST /debug/profile} is answered
 */
@ConfigurationProperties("millrace.worker")
public record WorkerProperties(
        @DefaultValue("1") int count,
        @DefaultValue("default") List<String> models,
        @DefaultValue("auto") String engine,
        @DefaultValue("auto") String task,
        @DefaultValue("auto") String toolFormat,
        @DefaultValue("auto") String reasoningFormat,
        @DefaultValue("0") int maxModelLen,
        @DefaultValue("false") boolean forceMaxModelLen,
        @DefaultValue("0") DataSize kvMemory,
        @DefaultValue("auto") String kvHostMemory,
        @DefaultValue("f32") String kvDtype,
        @DefaultValue("0") int maxRunning,
        @DefaultValue("0") int stepTokens,
        @DefaultValue("0") int threads,
        @DefaultValue("false") boolean pinThreads,
        @DefaultValue("auto") String activations,
        @DefaultValue("invariant") String products,
        @DefaultValue("") String repackCache,
        @DefaultValue("0ms") Duration mockStep,
        @DefaultValue("0ms") Duration mockRow,
        @DefaultValue("") String id,
        @DefaultValue("-1") int slot,
        @DefaultValue("") String livenessHost,
        @DefaultValue("0") int livenessPort,
        @DefaultValue("200ms") Duration beatInterval,
        @DefaultValue("15s") Duration lease,
        @DefaultValue("5s") Duration drainGrace,
        @DefaultValue("false") boolean debugEndpoints) {

    /** Bytes of {@code kvHostMemory}; MR-SERVE-003 when it is no size. */
    public long kvHostBytes() {
        if (kvHostMemory.equals("auto")) {
            return ModelOptions.CHOOSE;
        }
        String why = "kv-host-memory is " + kvHostMemory + "; write it as auto, 512MB or 4GB, or 0 for none.";
        try {
            long bytes = DataSize.parse(kvHostMemory).toBytes();
            if (bytes >= 0) {
                return bytes;
            }
        } catch (IllegalArgumentException e) {
            throw new MillraceException("MR-SERVE-003", why, e);
        }
        throw new MillraceException("MR-SERVE-003", why);
    }

    /** Threads of one model of one worker: the processors are divided among all that compute in this process, at least one each. */
    public int threadsEach() {
        return threads > 0 ? threads : share(Runtime.getRuntime().availableProcessors(), count, models.size());
    }

    /** Processors of one model of one worker: together they take no more than there are, but for one each. */
    public static int share(int processors, int workers, int models) {
        return Math.max(1, processors / (Math.max(1, workers) * Math.max(1, models)));
    }

    /** How the worker of that number (from 0) takes part in the cluster. */
    public WorkerConfig node(int number) {
        String name = id.isEmpty() || count == 1 ? id : id + "-" + number;
        int ownSlot = slot < 0 ? -1 : slot + number;
        int ownLiveness = livenessPort > 0 ? livenessPort + number : livenessPort;
        return new WorkerConfig(name, ownSlot, livenessHost, ownLiveness, beatInterval, lease, drainGrace);
    }
}

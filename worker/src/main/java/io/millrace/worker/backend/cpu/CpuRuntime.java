package io.millrace.worker.backend.cpu;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.backend.ChosenIds;
import io.millrace.worker.backend.KvLayout;
import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.backend.OpCosts;
import io.millrace.worker.backend.OpProbe;
import io.millrace.worker.backend.StepInputs;
import io.millrace.worker.backend.StepOutputs;
import io.millrace.worker.sampling.SamplingRow;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Locale;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A model in the native kernels: each step is one downcall, then the rows are sampled, unless the kernels choose the ids themselves. The bits of a
 * row depend on its sequence alone.
 */
final class CpuRuntime implements ModelRuntime {

    private static final Logger LOG = LoggerFactory.getLogger(CpuRuntime.class);

    private final OpCosts costs;
    private final NativeKernels kernels;
    private final long model;
    private final KvLayout layout;
    private final int vocabulary;
    private final String numericsId;
    private final StepBuffer buffer;
    private final Arena arena;
    private final MemorySegment error;
    private final RowSamplers samplers;
    private final @Nullable DeviceSteps device;
    private final double swapSeconds;
    private final ChosenIds chosen = new ChosenIds();
    private volatile long steps;
    private volatile long computeNanos;
    private @Nullable StageTimes times;
    private boolean closed;

    @SuppressWarnings("MustBeClosedChecker") // close() closes the arena
    CpuRuntime(NativeKernels kernels, long model, KvLayout layout, int vocabulary, int threads, OpCosts costs) {
        this.costs = costs;
        this.kernels = kernels;
        this.model = model;
        this.layout = layout;
        this.vocabulary = vocabulary;
        this.numericsId = kernels.numerics(model);
        this.buffer = new StepBuffer(layout.groups().size(), vocabulary);
        this.arena = Arena.ofShared();
        this.error = NativeKernels.errorBuffer(arena);
        this.samplers =
                new RowSamplers(vocabulary, threads, kernels.draws() ? new KernelDrawing(kernels, model, arena) : null);
        this.device = kernels.samples(model)
                ? new DeviceSteps(kernels, model, layout.groups().size(), vocabulary)
                : null;
        this.swapSeconds = swapSeconds(kernels, model, layout.hostBlocks());
    }

    /** Of a block of every group, there and back, by the rates that were measured. */
    private static double swapSeconds(NativeKernels kernels, long model, int hostBlocks) {
        if (hostBlocks == 0) {
            return 0;
        }
        NativeKernels.SwapRates rates = kernels.swapRates(model);
        double bytes = (double) kernels.hostBytes(model) / hostBlocks;
        double seconds = bytes / rates.out() + bytes / rates.in();
        LOG.info(
                "Preempted sequences may go to the host: {} GB/s there and {} GB/s back were measured, {} ms for a block of {} KiB both ways.",
                rounded(rates.out() / 1e9),
                rounded(rates.in() / 1e9),
                rounded(seconds * 1e3),
                Math.round(bytes / 1024));
        return seconds;
    }

    private static String rounded(double value) {
        return String.format(Locale.ROOT, "%.3g", value);
    }

    @Override
    public KvLayout kvLayout() {
        return layout;
    }

    @Override
    public int vocabularySize() {
        return vocabulary;
    }

    @Override
    public String numericsId() {
        return numericsId;
    }

    @Override
    public long computeNanos() {
        return computeNanos;
    }

    /** Who samples the rows of a step. */
    RowSamplers samplers() {
        return samplers;
    }

    /** Ops of the program that the last step ran. */
    long ops() {
        return kernels.ops(model);
    }

    /** Bytes of the packed weights. */
    long weightBytes() {
        return kernels.weightBytes(model);
    }

    /** Bytes of the cache. */
    long cacheBytes() {
        return kernels.cacheBytes(model);
    }

    @Override
    public void probe(@Nullable OpProbe probe) {
        if (times != null) {
            times.close();
            times = null;
        }
        if (probe != null) {
            times = new StageTimes(kernels, model, probe);
        }
    }

    @Override
    public OpCosts costs() {
        return costs;
    }

    @Override
    public long steps() {
        return steps;
    }

    @Override
    public boolean overlaps() {
        return device != null;
    }

    @Override
    public boolean feeds(SamplingRow row) {
        return device != null && DeviceSteps.chooses(row);
    }

    @Override
    public long copiedRows() {
        return kernels.copiedRows(model);
    }

    @Override
    public void submit(StepInputs in) {
        requireOpen();
        if (device == null) {
            ModelRuntime.super.submit(in);
            return;
        }
        steps++;
        device.submit(in, error);
        if (times != null) {
            times.tell();
        }
    }

    @Override
    public StepOutputs collect() {
        return device == null ? ModelRuntime.super.collect() : device.collect(error);
    }

    @Override
    public StepOutputs run(StepInputs in) {
        requireOpen();
        if (device != null) {
            submit(in);
            return collect();
        }
        steps++;
        MemorySegment step = buffer.write(in, chosen.of(in.tokens()));
        long begun = System.nanoTime();
        kernels.run(model, step, error);
        computeNanos += System.nanoTime() - begun;
        if (times != null) {
            times.tell();
        }
        StepOutputs out = samplers.sample(buffer.logits(), in.sampling());
        chosen.keep(out.sampled());
        return out;
    }

    @Override
    public void copyBlocks(int group, int[] from, int[] to) {
        requireOpen();
        if (from.length > 0) {
            move(() -> kernels.copyBlocks(model, group, from, to));
        }
    }

    @Override
    public void swapOut(int group, int[] from, int[] hostTo) {
        requireOpen();
        move(() -> kernels.swapOut(model, group, from, hostTo));
    }

    @Override
    public void swapIn(int group, int[] hostFrom, int[] to) {
        requireOpen();
        move(() -> kernels.swapIn(model, group, hostFrom, to));
    }

    @Override
    public double swapSeconds() {
        return swapSeconds;
    }

    /** A failure takes along what was submitted. */
    private void move(Runnable call) {
        try {
            call.run();
        } catch (MillraceException e) {
            if (device != null) {
                device.forget();
            }
            throw e;
        }
    }

    private void requireOpen() {
        if (closed) {
            throw new IllegalStateException("the runtime is closed");
        }
    }

    @Override
    public void close() {
        if (!closed) {
            closed = true;
            probe(null);
            kernels.free(model);
            buffer.close();
            if (device != null) {
                device.close();
            }
            arena.close();
        }
    }
}

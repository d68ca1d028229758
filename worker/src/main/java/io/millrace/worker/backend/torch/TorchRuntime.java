package io.millrace.worker.backend.torch;

import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import io.millrace.shared.error.MillraceException;
import io.millrace.worker.backend.ChosenIds;
import io.millrace.worker.backend.KvLayout;
import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.backend.OpCosts;
import io.millrace.worker.backend.OpProbe;
import io.millrace.worker.backend.StepInputs;
import io.millrace.worker.backend.StepOutputs;
import io.millrace.worker.program.Op;
import io.millrace.worker.sampling.SampledToken;
import io.millrace.worker.sampling.Sampler;
import io.millrace.worker.sampling.SamplingRow;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * A model in float32 over PyTorch. The step's rows are cut into groups that the team's threads compute side by side; small steps
 * are one group whose products the team shares. The bits of a row depend on its sequence alone.
 */
final class TorchRuntime implements ModelRuntime {

    /** Most rows of a group: activations stay in the caches. */
    static final int GROUP_ROWS = 128;
    /** Rows from which on a step is cut into groups. */
    private static final int MIN_SPLIT_ROWS = 16;

    /** What loading made. */
    record Parts(
            PtNDManager manager,
            Arena arena,
            ThreadTeam team,
            TorchWeights weights,
            List<TorchKvCache> caches,
            KvLayout layout,
            Schedule schedule,
            int tensors,
            List<RopeTable> ropes,
            int vocabulary,
            String numericsId,
            OpCosts costs) {}

    private final Parts parts;
    private final Interpreter interpreter;
    private final Sampler[] samplers;
    private final ChosenIds chosen = new ChosenIds();
    private @Nullable Thread thread;
    private volatile long steps;
    private volatile @Nullable OpProbe probe;
    private boolean closed;

    TorchRuntime(Parts parts) {
        this.parts = parts;
        this.interpreter = new Interpreter(
                parts.weights(),
                parts.caches(),
                new Constants(parts.manager()),
                parts.team(),
                parts.schedule().pools());
        this.samplers = new Sampler[parts.team().threads()];
        for (int i = 0; i < samplers.length; i++) {
            samplers[i] = new Sampler(parts.vocabulary());
        }
    }

    @Override
    public KvLayout kvLayout() {
        return parts.layout();
    }

    @Override
    public int vocabularySize() {
        return parts.vocabulary();
    }

    @Override
    public String numericsId() {
        return parts.numericsId();
    }

    @Override
    public long steps() {
        return steps;
    }

    @Override
    public StepOutputs run(StepInputs in) {
        enter();
        steps++;
        int[] ids = ids(in.tokens());
        try (PtNDManager step = (PtNDManager) parts.manager().newSubManager()) {
            List<RowGroup> groups = groups(step, in, ids);
            compute(groups, spans(groups, in));
            return finish(step, groups, in);
        } catch (MillraceException e) {
            throw e;
        } catch (RuntimeException e) {
            throw new MillraceException(
                    "MR-TORCH-001",
                    "A step of " + in.rows() + " rows failed in PyTorch: " + e.getMessage()
                            + ". The worker starts its sequences again.",
                    e);
        }
    }

    @Override
    public void copyBlocks(int group, int[] from, int[] to) {
        enter();
        if (from.length > 0) {
            try (PtNDManager manager = (PtNDManager) parts.manager().newSubManager()) {
                parts.caches().get(group).copy(manager, from, to);
            }
        }
    }

    /** PyTorch keeps its number of threads by calling thread. */
    private void enter() {
        if (closed) {
            throw new IllegalStateException("the runtime is closed");
        }
        Thread current = Thread.currentThread();
        if (thread != current) {
            Pt.oneThread();
            thread = current;
        }
    }

    /** Token ids, those that name a row of the step before looked up. */
    private int[] ids(int[] tokens) {
        int[] ids = chosen.of(tokens);
        for (int i = 0; i < ids.length; i++) {
            if (ids[i] >= parts.vocabulary()) {
                throw new IllegalArgumentException("token " + i + " is " + ids[i] + " of " + parts.vocabulary());
            }
        }
        return ids;
    }

    private List<RowGroup> groups(PtNDManager step, StepInputs in, int[] ids) {
        int rows = in.rows();
        int threads = parts.team().threads();
        int n = 1;
        if (rows >= Math.max(MIN_SPLIT_ROWS, Pt.MIN_ROWS * threads)) {
            n = Math.max(threads, (rows + GROUP_ROWS - 1) / GROUP_ROWS);
            n = (n + threads - 1) / threads * threads;
        }
        boolean pools = parts.schedule().pools();
        int[] bounds = pools ? PooledSteps.bounds(in, rows < MIN_SPLIT_ROWS ? 1 : threads) : Pt.split(rows, n);
        RowGroup[] groups = new RowGroup[bounds.length - 1];
        for (int i = 0; i < groups.length; i++) {
            groups[i] = new RowGroup(step, bounds[i], bounds[i + 1], ids, parts.tensors());
        }
        for (RowGroup group : groups) {
            for (int g = 0; g < parts.caches().size(); g++) {
                group.slots(g, parts.caches().get(g), in);
            }
            prepare(group, in);
        }
        return List.of(groups);
    }

    private void prepare(RowGroup group, StepInputs in) {
        for (Op op : parts.schedule().ops()) {
            switch (op) {
                case Op.Rope rope -> group.turn(rope, parts.ropes().get(rope.table()), in.positions());
                case Op.Attention o -> plan(group, in, o.group(), o.window());
                case Op.LatentAttention o -> plan(group, in, o.group(), 0);
                case Op.SelfAttention o -> group.plan(o, in);
                // Replaced by the rows of the table when the op runs.
                case Op.EmbedPositions o -> group.put(o.out(), group.ofRows(in.positions(), o.offset()));
                case Op.EmbedTypes o -> group.put(o.out(), group.ofRows(in.types(), 0));
                default -> {}
            }
        }
    }

    private void plan(RowGroup group, StepInputs in, int kvGroup, int window) {
        if (!group.hasGeometry(kvGroup, window)) {
            KvLayout layout = parts.layout();
            int heads = layout.groups().get(kvGroup).heads();
            group.geometry(
                    kvGroup,
                    window,
                    new AttentionPlanner(layout.blockTokens(), heads, kvGroup, window, in, group).plan());
        }
    }

    /** Whether a sequence has rows in two groups, which then wait for each other at every layer. */
    private static boolean spans(List<RowGroup> groups, StepInputs in) {
        for (int i = 1; i < groups.size(); i++) {
            int border = groups.get(i).from();
            boolean atStart = false;
            for (int start : in.queryStart()) {
                atStart |= start == border;
            }
            if (!atStart) {
                return true;
            }
        }
        return false;
    }

    private void compute(List<RowGroup> groups, boolean spans) {
        int[] stages = parts.schedule().stages();
        boolean share = groups.size() == 1;
        if (share || !spans) {
            parts.team()
                    .parallel(groups.size(), (i, t) -> stage(groups.get(i), 0, stages[stages.length - 1], share, t));
            return;
        }
        for (int s = 0; s + 1 < stages.length; s++) {
            int from = stages[s];
            int to = stages[s + 1];
            parts.team().parallel(groups.size(), (i, t) -> stage(groups.get(i), from, to, false, t));
        }
    }

    private void stage(RowGroup group, int from, int to, boolean share, int lane) {
        Schedule schedule = parts.schedule();
        OpProbe hearing = probe;
        for (int i = from; i < to; i++) {
            long began = hearing == null ? 0 : System.nanoTime();
            interpreter.run(schedule.ops().get(i), group, share);
            ran(hearing, i, lane, group.rows(), began);
            schedule.dead().get(i).forEach(group::free);
        }
    }

    private static void ran(@Nullable OpProbe hearing, int op, int lane, int rows, long began) {
        if (hearing != null) {
            hearing.ran(new int[] {op}, lane, rows, began, System.nanoTime() - began);
        }
    }

    @Override
    public void probe(@Nullable OpProbe hearing) {
        probe = hearing;
    }

    @Override
    public OpCosts costs() {
        return parts.costs();
    }

    /** The end of the program, over the logit rows of all groups. */
    private StepOutputs finish(PtNDManager step, List<RowGroup> groups, StepInputs in) {
        if (parts.schedule().pools()) {
            return PooledSteps.finish(parts.schedule(), interpreter, step, parts.tensors(), groups, in);
        }
        int rows = in.logitRows().length;
        if (rows == 0) {
            chosen.keep(new SampledToken[0]);
            return new StepOutputs(new SampledToken[0], null);
        }
        Schedule schedule = parts.schedule();
        RowGroup last = new RowGroup(step, 0, rows, new int[rows], parts.tensors());
        float[][] logits = {};
        OpProbe hearing = probe;
        for (int i = schedule.end(); i < schedule.ops().size(); i++) {
            long began = hearing == null ? 0 : System.nanoTime();
            switch (schedule.ops().get(i)) {
                case Op.GatherRows op -> last.put(op.out(), gather(op, groups, last, in.logitRows()));
                case Op.Logits op -> logits = interpreter.logits(op, last.get(op.x()), rows);
                case Op.Sample op -> {
                    StepOutputs sampled = sample(logits, in.sampling());
                    ran(hearing, i, 0, rows, began);
                    return sampled;
                }
                case Op op -> interpreter.run(op, last, true);
            }
            ran(hearing, i, 0, rows, began);
        }
        throw new IllegalStateException("the program does not sample");
    }

    private static PtNDArray gather(Op.GatherRows op, List<RowGroup> groups, RowGroup last, int[] logitRows) {
        // Only a group that is the only one may have rows that are not the step's.
        List<PtNDArray> all = new ArrayList<>();
        groups.forEach(group -> all.add(group.get(op.x())));
        long[] index = new long[last.rows()];
        for (int i = 0; i < index.length; i++) {
            index[i] = logitRows[last.stepRow(i)];
        }
        try (PtNDArray joined = Pt.join(all, 0)) {
            return Pt.rows(Pt.longs(last.manager(), index), joined);
        }
    }

    private StepOutputs sample(float[][] logits, @Nullable SamplingRow[] rows) {
        SampledToken[] sampled = new SampledToken[rows.length];
        float[][] raw = new float[rows.length][];
        MillraceException[] errors = new MillraceException[rows.length];
        parts.team().parallel(rows.length, (r, t) -> {
            SamplingRow row = rows[r];
            if (row == null || row.wantLogits()) {
                raw[r] = logits[r];
            }
            if (row != null) {
                try {
                    sampled[r] = samplers[t].sample(logits[r], row);
                } catch (MillraceException e) {
                    errors[r] = e;
                }
            }
        });
        boolean anyRaw = Arrays.stream(raw).anyMatch(Objects::nonNull);
        StepOutputs out = StepOutputs.verified(rows, sampled, anyRaw ? raw : null, errors);
        chosen.keep(sampled);
        return out;
    }

    @Override
    public void close() {
        if (!closed) {
            closed = true;
            parts.team().close();
            parts.manager().close();
            parts.arena().close();
        }
    }
}

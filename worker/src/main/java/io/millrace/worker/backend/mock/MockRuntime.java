package io.millrace.worker.backend.mock;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.backend.KvLayout;
import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.backend.StepInputs;
import io.millrace.worker.backend.StepOutputs;
import io.millrace.worker.sampling.SampledToken;
import io.millrace.worker.sampling.Sampler;
import io.millrace.worker.sampling.SamplingRow;
import java.util.Arrays;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;

/**
 * A runtime whose "KV cache" holds, slot by slot, the id and position written there. To answer a logit row it reads all ids of the
 * sequence back through its block table, in every group of layers, and hashes them into the next id ({@link MockTokens}). A wrong
 * block table, a lost copy-on-write, a stale prefix block or a resume that is off by one gives a wrong token, or an error at once
 * where it can be seen at once.
 *
 * <p>Checked in each step, MR-MOCK-001 when broken: shapes; positions; slots agree with block tables and none is written twice;
 * every slot read was written for that position; the history that sampling sees equals what the cache holds.
 *
 * <p>Log probabilities, unless {@link MockConfig#realSampling}: -0.1 for the chosen id, then -3, -4, … for its neighbours.
 */
public final class MockRuntime implements ModelRuntime {

    private static final long UNWRITTEN = -1;

    private final MockConfig config;
    private final MockTokens tokens;
    private final KvLayout layout;
    /** [G][slots] position << 32 | id. */
    private final long[][] cache;

    /** [G][slots of its pool on the host] */
    private final long[][] host;

    /** [G][slots] the step that wrote last. */
    private final long[][] writtenAt;

    private final @Nullable Sampler sampler;
    private int[] lastSampled = {};
    private volatile long steps;

    public MockRuntime(MockConfig config) {
        this.config = config;
        this.tokens = config.tokens();
        this.layout = config.layout();
        int groups = layout.groups().size();
        this.cache = new long[groups][];
        this.host = new long[groups][layout.hostBlocks() * layout.blockTokens()];
        this.writtenAt = new long[groups][];
        for (int g = 0; g < groups; g++) {
            int slots = layout.groups().get(g).blocks() * layout.blockTokens();
            cache[g] = new long[slots];
            writtenAt[g] = new long[slots];
            Arrays.fill(cache[g], UNWRITTEN);
        }
        this.sampler = config.realSampling() ? new Sampler(tokens.vocabulary()) : null;
    }

    @Override
    public KvLayout kvLayout() {
        return layout;
    }

    @Override
    public int vocabularySize() {
        return tokens.vocabulary();
    }

    @Override
    public String numericsId() {
        return "mock-" + tokens.seed();
    }

    @Override
    public long steps() {
        return steps;
    }

    @Override
    public void close() {
        for (long[] group : cache) {
            Arrays.fill(group, UNWRITTEN);
        }
    }

    @Override
    public StepOutputs run(StepInputs in) {
        long started = System.nanoTime();
        steps++;
        checkShapes(in);
        for (int s = 0; s < in.sequences(); s++) {
            write(in, s);
        }
        int rows = in.logitRows().length;
        SampledToken[] sampled = new SampledToken[rows];
        float[][] logits = null;
        @Nullable MillraceException[] errors = new MillraceException[rows];
        for (int r = 0; r < rows; r++) {
            int t = in.logitRows()[r];
            int s = sequenceOf(in, t);
            SamplingRow row = in.sampling()[r];
            long state = contextHash(in, s, in.positions()[t] + 1, row);
            boolean wanted = row == null || row.wantLogits();
            float[] x = wanted || sampler != null ? logits(state) : null;
            if (wanted) {
                logits = logits == null ? new float[rows][] : logits;
                logits[r] = x;
            }
            if (row == null) {
                continue;
            }
            try {
                sampled[r] = sampler != null && x != null ? sampler.sample(x, row) : mockSample(state, row);
            } catch (MillraceException e) {
                errors[r] = e;
            }
        }
        StepOutputs out = StepOutputs.verified(in.sampling(), sampled, logits, errors);
        lastSampled =
                Arrays.stream(sampled).mapToInt(t -> t == null ? -1 : t.id()).toArray();
        spend(started, config.stepNanos() + config.rowNanos() * in.rows());
        return out;
    }

    @Override
    public void copyBlocks(int group, int[] from, int[] to) {
        int size = layout.blockTokens();
        long[][] read = new long[from.length][];
        for (int i = 0; i < from.length; i++) {
            read[i] = Arrays.copyOfRange(cache[group], from[i] * size, (from[i] + 1) * size);
        }
        for (int i = 0; i < to.length; i++) {
            System.arraycopy(read[i], 0, cache[group], to[i] * size, size);
        }
    }

    @Override
    public void swapOut(int group, int[] from, int[] hostTo) {
        move(cache[group], from, host[group], hostTo);
    }

    @Override
    public void swapIn(int group, int[] hostFrom, int[] to) {
        move(host[group], hostFrom, cache[group], to);
    }

    private void move(long[] source, int[] from, long[] target, int[] to) {
        int size = layout.blockTokens();
        for (int i = 0; i < from.length; i++) {
            System.arraycopy(source, from[i] * size, target, to[i] * size, size);
        }
    }

    private void checkShapes(StepInputs in) {
        int rows = in.rows();
        int sequences = in.sequences();
        int groups = cache.length;
        check(rows > 0, "a step has at least one row");
        check(
                in.positions().length == rows
                        && in.slotMapping().length == groups
                        && in.queryStart().length == sequences + 1
                        && in.blockTable().length == groups
                        && in.adapter().length == sequences
                        && in.sampling().length == in.logitRows().length,
                "arrays of a step agree in length");
        check(in.queryStart()[0] == 0 && in.queryStart()[sequences] == rows, "queryStart spans all rows");
    }

    private void write(StepInputs in, int s) {
        int from = in.queryStart()[s];
        int to = in.queryStart()[s + 1];
        int first = in.contextLen()[s] - (to - from);
        check(from < to && first >= 0, "sequence " + s + " has rows within its context");
        for (int t = from; t < to; t++) {
            int position = first + t - from;
            check(in.positions()[t] == position, "row " + t + " has position " + position);
            int id = named(in.tokens()[t]);
            check(id >= 0 && id < tokens.vocabulary(), "row " + t + " has an id of the vocabulary, not " + id);
            for (int g = 0; g < cache.length; g++) {
                int slot = slot(in, g, s, position);
                check(in.slotMapping()[g][t] == slot, "row " + t + " is written where the block table points");
                check(writtenAt[g][slot] != steps, "slot " + slot + " is written once a step");
                writtenAt[g][slot] = steps;
                cache[g][slot] = ((long) position << 32) | id;
            }
        }
    }

    /** An id, or the one that a row of the step before has chosen. */
    private int named(int id) {
        return id >= 0 ? id : lastSampled[-1 - id];
    }

    private int slot(StepInputs in, int group, int s, int position) {
        int block = in.blockTable()[group][s][position / layout.blockTokens()];
        return block * layout.blockTokens() + position % layout.blockTokens();
    }

    private long contextHash(StepInputs in, int s, int length, @Nullable SamplingRow row) {
        if (row != null) {
            check(
                    row.position() == length && row.history().length() == length,
                    "position " + row.position() + " and history of "
                            + row.history().length() + " ids belong to the token after " + length + " ids");
        }
        long first = 0;
        for (int g = 0; g < cache.length; g++) {
            long state = tokens.start();
            for (int position = 0; position < length; position++) {
                int slot = slot(in, g, s, position);
                long entry = cache[g][slot];
                check(
                        entry != UNWRITTEN && (int) (entry >>> 32) == position,
                        "slot " + slot + " of group " + g + ", read for position " + position + ", was written for "
                                + (entry == UNWRITTEN ? "none" : String.valueOf(entry >>> 32)));
                int id = (int) entry;
                check(
                        row == null || named(row.history().get(position)) == id,
                        "the cache holds the history at position " + position);
                state = tokens.add(state, id);
            }
            check(g == 0 || state == first, "groups hold the same ids");
            first = state;
        }
        return first;
    }

    private static int sequenceOf(StepInputs in, int row) {
        int s = Arrays.binarySearch(in.queryStart(), row);
        return s >= 0 ? s : -s - 2;
    }

    private float[] logits(long state) {
        float[] x = new float[tokens.vocabulary()];
        for (int i = 0; i < x.length; i++) {
            x[i] = tokens.logit(state, i);
        }
        return x;
    }

    private SampledToken mockSample(long state, SamplingRow row) {
        int id = tokens.token(state, row);
        int k = row.params().logprobs();
        if (k < 0) {
            return new SampledToken(id, Float.NaN, new int[0], new float[0]);
        }
        int[] ids = new int[Math.min(k, tokens.vocabulary())];
        float[] logprobs = new float[ids.length];
        for (int i = 0; i < ids.length; i++) {
            ids[i] = (id + i) % tokens.vocabulary();
            logprobs[i] = i == 0 ? -0.1f : -2f - i;
        }
        return new SampledToken(id, -0.1f, ids, logprobs);
    }

    private static void spend(long started, long nanos) {
        while (nanos > 0) {
            long left = started + nanos - System.nanoTime();
            if (left <= 0) {
                return;
            }
            LockSupport.parkNanos(left);
        }
    }

    private static void check(boolean holds, String what) {
        if (!holds) {
            throw new MillraceException("MR-MOCK-001", "Broken by the engine: " + what + ".");
        }
    }
}

package io.millrace.worker.backend.torch;

import io.millrace.worker.backend.KvLayout;
import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.backend.StepInputs;
import io.millrace.worker.backend.StepOutputs;
import io.millrace.worker.sampling.ListedHistory;
import io.millrace.worker.sampling.SampledToken;
import io.millrace.worker.sampling.SamplingParams;
import io.millrace.worker.sampling.SamplingRow;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Deque;
import java.util.List;
import java.util.Objects;
import java.util.Random;
import org.jspecify.annotations.Nullable;

/** Drives a runtime as the engine would, with blocks handed out in a random order. */
public final class PagedRunner {

    private final ModelRuntime runtime;
    private final int blockTokens;
    private final Deque<Integer> free = new ArrayDeque<>();

    public PagedRunner(ModelRuntime runtime, long seed) {
        this.runtime = runtime;
        KvLayout layout = runtime.kvLayout();
        this.blockTokens = layout.blockTokens();
        List<Integer> blocks = new ArrayList<>();
        for (int i = 0; i < layout.groups().getFirst().blocks(); i++) {
            blocks.add(i);
        }
        Collections.shuffle(blocks, new Random(seed));
        free.addAll(blocks);
    }

    /** A sequence; greedy ids are appended as they are chosen. */
    public final class Sequence {
        public final List<Integer> ids = new ArrayList<>();
        public final List<Integer> blocks = new ArrayList<>();
        public final List<float[]> logits = new ArrayList<>();
        public int computed;

        Sequence(int[] prompt) {
            Arrays.stream(prompt).forEach(ids::add);
        }

        public int pending() {
            return ids.size() - computed;
        }

        public int[] from(int start) {
            return ids.subList(start, ids.size()).stream()
                    .mapToInt(Integer::intValue)
                    .toArray();
        }

        public void release() {
            free.addAll(blocks);
            blocks.clear();
        }
    }

    public Sequence sequence(int[] prompt) {
        return new Sequence(prompt);
    }

    /** Rows of one sequence in a step; {@code all}: logits of every row are kept, otherwise of the last one if it ends the ids. */
    public record Work(Sequence sequence, int rows, boolean all) {}

    /** One step; sequences whose ids all are computed then get the next greedy id. Logits are kept in the sequence. */
    public StepOutputs step(List<Work> work) {
        int t = work.stream().mapToInt(Work::rows).sum();
        int[] tokens = new int[t];
        int[] positions = new int[t];
        int[] slots = new int[t];
        int[] queryStart = new int[work.size() + 1];
        int[] contextLen = new int[work.size()];
        int[][] blocks = new int[work.size()][];
        List<Integer> logitRows = new ArrayList<>();
        List<@Nullable SamplingRow> sampling = new ArrayList<>();
        List<Sequence> owners = new ArrayList<>();
        int row = 0;
        for (int s = 0; s < work.size(); s++) {
            Work w = work.get(s);
            Sequence seq = w.sequence();
            queryStart[s] = row;
            while (seq.blocks.size() * blockTokens < seq.computed + w.rows()) {
                seq.blocks.add(free.pop());
            }
            for (int i = 0; i < w.rows(); i++, row++) {
                int position = seq.computed + i;
                tokens[row] = seq.ids.get(position);
                positions[row] = position;
                slots[row] = seq.blocks.get(position / blockTokens) * blockTokens + position % blockTokens;
                boolean end = position == seq.ids.size() - 1;
                if (end || w.all()) {
                    logitRows.add(row);
                    sampling.add(
                            end
                                    ? new SamplingRow(
                                            SamplingParams.GREEDY,
                                            0,
                                            0,
                                            position + 1,
                                            ListedHistory.NONE,
                                            new int[0],
                                            true)
                                    : null);
                    owners.add(seq);
                }
            }
            seq.computed += w.rows();
            contextLen[s] = seq.computed;
            blocks[s] = seq.blocks.stream().mapToInt(Integer::intValue).toArray();
        }
        queryStart[work.size()] = row;
        StepOutputs out = runtime.run(new StepInputs(
                tokens,
                positions,
                new int[][] {slots},
                queryStart,
                contextLen,
                new int[][][] {blocks},
                logitRows.stream().mapToInt(Integer::intValue).toArray(),
                sampling.toArray(SamplingRow[]::new),
                new int[work.size()]));
        for (int r = 0; r < logitRows.size(); r++) {
            owners.get(r).logits.add(Objects.requireNonNull(out.logits())[r]);
            SampledToken chosen = out.sampled()[r];
            if (chosen != null) {
                owners.get(r).ids.add(chosen.id());
            }
        }
        return out;
    }

    /** Prompt in chunks, then greedy decoding; the ids chosen. */
    public int[] generate(int[] prompt, int tokens, int chunk) {
        Sequence seq = sequence(prompt);
        while (seq.ids.size() < prompt.length + tokens) {
            step(List.of(new Work(seq, Math.min(chunk, seq.pending()), false)));
        }
        seq.release();
        return seq.from(prompt.length);
    }
}

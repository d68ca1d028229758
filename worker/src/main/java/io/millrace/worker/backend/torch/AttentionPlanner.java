package io.millrace.worker.backend.torch;

import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import io.millrace.worker.backend.StepInputs;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/**
 * Cuts the rows of a group into {@link AttentionPart}s: runs of rows of one sequence each by itself, single rows (decodes)
 * together with others of about the same length, so that padding costs at most as much again.
 */
final class AttentionPlanner {

    private final int blockTokens;
    private final int kvHeads;
    private final int kvGroup;
    private final int window;
    private final StepInputs in;
    private final RowGroup rows;
    private final PtNDManager manager;

    AttentionPlanner(int blockTokens, int kvHeads, int kvGroup, int window, StepInputs in, RowGroup rows) {
        this.blockTokens = blockTokens;
        this.kvHeads = kvHeads;
        this.kvGroup = kvGroup;
        this.window = window;
        this.in = in;
        this.rows = rows;
        this.manager = rows.manager();
    }

    /** Rows {@code from} to {@code to - 1} of the group, all of one sequence. */
    private record Run(int sequence, int from, int to) {
        int queries() {
            return to - from;
        }
    }

    RowGroup.Geometry plan() {
        List<List<Run>> batches = new ArrayList<>();
        List<Run> singles = new ArrayList<>();
        for (Run run : runs()) {
            if (run.queries() == 1) {
                singles.add(run);
            } else {
                batches.add(List.of(run));
            }
        }
        batches.addAll(buckets(singles));
        batches.sort(Comparator.comparingInt(b -> b.getFirst().from()));
        List<AttentionPart> parts = batches.stream().map(this::part).toList();
        return new RowGroup.Geometry(parts, order(parts));
    }

    private List<Run> runs() {
        List<Run> runs = new ArrayList<>();
        int end = rows.from() + rows.realRows();
        for (int s = 0; s < in.sequences(); s++) {
            int from = Math.max(in.queryStart()[s], rows.from());
            int to = Math.min(in.queryStart()[s + 1], end);
            if (from < to) {
                runs.add(new Run(s, from - rows.from(), to - rows.from()));
            }
        }
        return runs;
    }

    private List<List<Run>> buckets(List<Run> singles) {
        List<Run> sorted = new ArrayList<>(singles);
        sorted.sort(Comparator.comparingInt(this::chunks));
        List<List<Run>> buckets = new ArrayList<>();
        int limit = 0;
        for (Run run : sorted) {
            if (buckets.isEmpty() || chunks(run) > limit) {
                buckets.add(new ArrayList<>());
                limit = 2 * chunks(run);
            }
            buckets.getLast().add(run);
        }
        buckets.forEach(b -> b.sort(Comparator.comparingInt(Run::from)));
        return buckets;
    }

    /** First chunk that a row of the run sees. */
    private int firstChunk(Run run) {
        int first = window == 0 ? 0 : Math.max(0, position(run.from()) - window + 1);
        return first / AttentionPart.CHUNK;
    }

    private int chunks(Run run) {
        return position(run.to() - 1) / AttentionPart.CHUNK + 1 - firstChunk(run);
    }

    private int position(int row) {
        return in.positions()[rows.stepRow(row)];
    }

    private AttentionPart part(List<Run> runs) {
        int queries = runs.getFirst().queries();
        int chunks = runs.stream().mapToInt(this::chunks).max().orElseThrow();
        int length = chunks * AttentionPart.CHUNK;
        int[] index = new int[runs.size() * queries];
        float[] mask = new float[index.length * length];
        int pagesEach = length / blockTokens;
        long[] pages = new long[runs.size() * kvHeads * pagesEach];
        for (int i = 0; i < runs.size(); i++) {
            Run run = runs.get(i);
            int start = firstChunk(run) * AttentionPart.CHUNK;
            for (int j = 0; j < queries; j++) {
                index[i * queries + j] = run.from() + j;
                hide(mask, (i * queries + j) * length, length, position(run.from() + j), start);
            }
            fillPages(pages, i * kvHeads * pagesEach, pagesEach, run, start);
        }
        boolean contiguous = index[index.length - 1] - index[0] == index.length - 1;
        PtNDArray gather = contiguous ? null : Pt.longs(manager, widen(index));
        return new AttentionPart(
                index,
                gather,
                runs.size(),
                queries,
                length,
                Pt.longs(manager, pages),
                Pt.floats(manager, mask, runs.size(), 1, queries, length));
    }

    /** -infinity where a row at {@code position} may not look; column 0 is position {@code start}. */
    private void hide(float[] mask, int at, int length, int position, int start) {
        for (int i = 0; i < length; i++) {
            int other = start + i;
            boolean seen = other <= position && (window == 0 || other > position - window);
            mask[at + i] = seen ? 0 : Float.NEGATIVE_INFINITY;
        }
    }

    /** Pages behind the sequence's end are hidden by the mask; its own first page stands in for them. */
    private void fillPages(long[] pages, int at, int pagesEach, Run run, int start) {
        int[] blocks = in.blockTable()[kvGroup][run.sequence()];
        int first = start / blockTokens;
        int last = position(run.to() - 1) / blockTokens;
        for (int h = 0; h < kvHeads; h++) {
            for (int p = 0; p < pagesEach; p++) {
                long block = blocks[first + p <= last ? first + p : first];
                pages[at + h * pagesEach + p] = block * kvHeads + h;
            }
        }
    }

    /** Where each row's result lies when parts are not in the order of rows; also repeats the last row of a small group. */
    private @org.jspecify.annotations.Nullable PtNDArray order(List<AttentionPart> parts) {
        long[] place = new long[rows.rows()];
        int n = 0;
        boolean sorted = rows.rows() == rows.realRows();
        for (AttentionPart part : parts) {
            for (int row : part.rows()) {
                sorted &= row == n;
                place[row] = n++;
            }
        }
        for (int row = rows.realRows(); row < place.length; row++) {
            place[row] = place[rows.realRows() - 1];
        }
        return sorted ? null : Pt.longs(manager, place);
    }

    private static long[] widen(int[] values) {
        long[] wide = new long[values.length];
        for (int i = 0; i < values.length; i++) {
            wide[i] = values[i];
        }
        return wide;
    }
}

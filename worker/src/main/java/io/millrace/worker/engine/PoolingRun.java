package io.millrace.worker.engine;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.engine.PoolingRequest.Finish;
import io.millrace.worker.engine.PoolingRequest.Output;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** One execution while it runs: inputs to come, rows that outputs still wait for. Confined to the engine's thread. */
final class PoolingRun {

    private final PoolingRequest request;
    private final PoolingListener listener;
    private final long arrival;
    private final Deque<Integer> waiting = new ArrayDeque<>();
    private final Map<Integer, float[]> rows = new HashMap<>();
    private final int[] uses;
    private final List<List<Output>> outputsOf = new ArrayList<>();
    private int left;
    private long tokens;
    private boolean scheduled;

    PoolingRun(PoolingRequest request, PoolingListener listener, long arrival) {
        this.request = request;
        this.listener = listener;
        this.arrival = arrival;
        int n = request.inputs().size();
        this.uses = new int[n];
        for (int i = 0; i < n; i++) {
            outputsOf.add(new ArrayList<>());
        }
        for (Output output : request.outputs()) {
            use(output, output.input());
            if (isPair(output)) {
                use(output, output.other());
            }
        }
        this.left = request.outputs().size();
        for (int i = 0; i < n; i++) {
            if (uses[i] > 0) {
                waiting.add(i);
                tokens += request.inputs().get(i).ids().length;
            }
        }
    }

    /** Of two inputs. */
    private static boolean isPair(Output output) {
        return output.other() >= 0 && output.other() != output.input();
    }

    private void use(Output output, int input) {
        uses[input]++;
        outputsOf.get(input).add(output);
    }

    PoolingRequest request() {
        return request;
    }

    PoolingListener listener() {
        return listener;
    }

    long arrival() {
        return arrival;
    }

    /** Tokens of inputs that have not run. */
    long waitingTokens() {
        return tokens;
    }

    /** Every output was made. */
    boolean done() {
        return left == 0;
    }

    /** Length of the next input; 0 when none waits. */
    int nextLength() {
        Integer next = waiting.peek();
        return next == null ? 0 : request.inputs().get(next).ids().length;
    }

    /** Takes the next input. */
    int take() {
        int input = waiting.remove();
        tokens -= request.inputs().get(input).ids().length;
        return input;
    }

    /** True the first time. */
    boolean markScheduled() {
        boolean first = !scheduled;
        scheduled = true;
        return first;
    }

    /** What became complete. */
    record Made(int index, float[] values) {}

    /** Takes the row of an input; gives the outputs that were waiting for it. MR-ENGINE-015 when it is no number. */
    List<Made> computed(int input, float[] row) {
        for (float value : row) {
            if (!Float.isFinite(value)) {
                throw new MillraceException(
                        "MR-ENGINE-015",
                        "The model gave a row of input " + input + " that is not a number: " + value + ".");
            }
        }
        rows.put(input, row);
        List<Made> made = new ArrayList<>();
        for (Output output : outputsOf.get(input)) {
            float[] first = rows.get(output.input());
            float[] second = rows.get(output.other());
            if (first != null && (output.other() < 0 || second != null)) {
                made.add(new Made(output.index(), make(first, second)));
                left--;
                release(output.input());
                if (isPair(output)) {
                    release(output.other());
                }
            }
        }
        return made;
    }

    private void release(int input) {
        if (--uses[input] == 0) {
            rows.remove(input);
        }
    }

    private float[] make(float[] first, float @Nullable [] second) {
        Finish finish = request.finish();
        return switch (finish) {
            case EMBEDDING -> unit(first, request.dimensions() == 0 ? first.length : request.dimensions());
            case LOGIT -> new float[] {first[0]};
            case SIGMOID -> new float[] {(float) (1 / (1 + StrictMath.exp(-(double) first[0])))};
            case COSINE -> new float[] {cosine(first, second == null ? first : second)};
        };
    }

    /** Cut, and of length 1; a row of zeros stays what it is. */
    private static float[] unit(float[] row, int dimensions) {
        double sum = 0;
        for (int i = 0; i < dimensions; i++) {
            sum += (double) row[i] * row[i];
        }
        double length = sum == 0 ? 1 : Math.sqrt(sum);
        float[] unit = Arrays.copyOf(row, dimensions);
        for (int i = 0; i < dimensions; i++) {
            unit[i] = (float) (row[i] / length);
        }
        return unit;
    }

    private static float cosine(float[] a, float[] b) {
        double dot = 0;
        double aa = 0;
        double bb = 0;
        for (int i = 0; i < a.length; i++) {
            dot += (double) a[i] * b[i];
            aa += (double) a[i] * a[i];
            bb += (double) b[i] * b[i];
        }
        return aa == 0 || bb == 0 ? 0 : (float) (dot / (Math.sqrt(aa) * Math.sqrt(bb)));
    }
}

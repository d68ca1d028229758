package io.millrace.worker.engine;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.worker.backend.cpu.RecordingKernels;
import io.millrace.worker.backend.cpu.RecordingKernels.Call;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;

/** A cache of one group that holds ids where a real one has keys: it follows recorded calls, and objects to what they may not ask. */
final class RecordedCache {

    private static final int MOST_FLYING = 2;

    private final int blockTokens;
    private final int[] held;
    private final Map<Integer, int[]> host = new HashMap<>();
    private int[] chosen = {};
    private int flying;
    private int steps;

    RecordedCache(int blockTokens, int blocks) {
        this.blockTokens = blockTokens;
        this.held = new int[blocks * blockTokens];
        Arrays.fill(held, -1);
    }

    /** Steps so far. */
    int steps() {
        return steps;
    }

    /** @param wholes the ids of every request, prompt and what is chosen after it */
    void take(Call call, List<int[]> wholes, int vocabulary) {
        switch (call.function()) {
            case "mr_copy_blocks" -> copy(call.ints("from"), call.ints("to"));
            case "mr_swap_out" -> swapOut(call.ints("from"), call.ints("to"));
            case "mr_swap_in" -> swapIn(call.ints("from"), call.ints("to"));
            case "mr_submit" -> submit(call, wholes, vocabulary);
            case "mr_collect" -> {
                assertThat(flying).as("steps to collect").isPositive();
                flying--;
            }
            case "mr_free" -> {}
            default -> throw new AssertionError("a call of " + call.function());
        }
    }

    private void copy(int[] from, int[] to) {
        int[] before = held.clone();
        for (int i = 0; i < from.length; i++) {
            System.arraycopy(before, from[i] * blockTokens, held, to[i] * blockTokens, blockTokens);
        }
    }

    private void swapOut(int[] from, int[] to) {
        for (int i = 0; i < from.length; i++) {
            host.put(to[i], Arrays.copyOfRange(held, from[i] * blockTokens, (from[i] + 1) * blockTokens));
        }
    }

    private void swapIn(int[] from, int[] to) {
        for (int i = 0; i < from.length; i++) {
            int[] block = Objects.requireNonNull(host.get(from[i]), "a block that was never swapped out");
            System.arraycopy(block, 0, held, to[i] * blockTokens, blockTokens);
        }
    }

    private void submit(Call step, List<int[]> wholes, int vocabulary) {
        steps++;
        int[] tokens = step.ints("tokens");
        int[] positions = step.ints("positions");
        int[] slots = step.ints("slots");
        for (int i = 0; i < tokens.length; i++) {
            if (tokens[i] < 0) {
                assertThat(flying).as("a step whose ids are not known").isPositive();
                tokens[i] = chosen[-1 - tokens[i]];
            }
            held[slots[i]] = tokens[i];
        }
        assertThat(Arrays.stream(slots).distinct().count())
                .as("slots of one step")
                .isEqualTo(slots.length);
        int[] start = step.ints("start");
        int[] context = step.ints("context");
        int[] table = step.ints("table");
        int width = (int) step.number("width");
        assertThat(start[0]).isZero();
        assertThat(start[start.length - 1]).isEqualTo(tokens.length);
        for (int s = 0; s < context.length; s++) {
            int[] blocks = Arrays.copyOfRange(table, s * width, (s + 1) * width);
            for (int row = start[s]; row < start[s + 1]; row++) {
                int position = context[s] - (start[s + 1] - row);
                assertThat(positions[row]).isEqualTo(position);
                assertThat(slots[row]).isEqualTo(slot(blocks, position));
            }
            int[] ids = new int[context[s]];
            Arrays.setAll(ids, p -> held[slot(blocks, p)]);
            assertThat(wholes.stream().anyMatch(whole -> beginsWith(whole, ids)))
                    .as("step %d: %s is in the cache", steps, Arrays.toString(ids))
                    .isTrue();
        }
        int[] rows = step.ints("logit_row");
        chosen = new int[rows.length];
        for (int r = 0; r < rows.length; r++) {
            assertThat(step.number("row" + r + ".position")).isEqualTo(positions[rows[r]] + 1L);
            chosen[r] = RecordingKernels.next(tokens[rows[r]], positions[rows[r]], vocabulary);
        }
        flying++;
        assertThat(flying).isLessThanOrEqualTo(MOST_FLYING);
    }

    private int slot(int[] blocks, int position) {
        return blocks[position / blockTokens] * blockTokens + position % blockTokens;
    }

    private static boolean beginsWith(int[] whole, int[] ids) {
        return ids.length <= whole.length && Arrays.equals(whole, 0, ids.length, ids, 0, ids.length);
    }
}

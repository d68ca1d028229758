package io.millrace.worker.text.grammar;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.sampling.TokenMask;
import io.millrace.worker.text.grammar.automaton.GrammarException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;

/** A mask that another thread computes. Thread-safe. */
final class ComputedMask implements TokenMask {

    private final FutureTask<int[]> task;

    ComputedMask(FutureTask<int[]> task) {
        this.task = task;
    }

    @Override
    public int[] words() {
        boolean interrupted = false;
        try {
            while (true) {
                try {
                    return task.get();
                } catch (InterruptedException e) {
                    interrupted = true;
                }
            }
        } catch (ExecutionException e) {
            if (e.getCause() instanceof GrammarException tooAmbiguous) {
                throw new MillraceException("MR-GRAMMAR-002", tooAmbiguous.text());
            }
            throw new MillraceException(
                    "MR-GRAMMAR-001", "What the grammar allows next could not be computed: " + e.getCause());
        } finally {
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }
}

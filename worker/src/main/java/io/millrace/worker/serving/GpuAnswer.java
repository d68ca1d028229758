package io.millrace.worker.serving;

import io.millrace.shared.error.MillraceException;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/**
 * What a check of the GPU has found.
 *
 * @param device chip, driver and free memory, for people; empty: not known
 * @param found what was compared, for people, where it was passed
 * @param refusal why the GPU is not to be used; null: it is
 * @param millis that it took, the start of its process included
 */
record GpuAnswer(String device, String found, @Nullable MillraceException refusal, long millis) {

    boolean passed() {
        return refusal == null;
    }

    String seconds() {
        return String.format(Locale.ROOT, "%.1f s", millis / 1000.0);
    }
}

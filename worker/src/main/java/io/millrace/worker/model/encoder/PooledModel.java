package io.millrace.worker.model.encoder;

import io.millrace.worker.model.config.Rope;
import io.millrace.worker.model.config.RopeFrequencies;
import io.millrace.worker.model.decoder.Decoder;
import io.millrace.worker.model.decoder.WeightSlot;
import io.millrace.worker.model.weights.WeightSource;
import io.millrace.worker.program.StepProgram;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * A model whose step program gives one row for each whole input: an embedding, or the logit of a score.
 *
 * @param architecture as messages name it
 * @param origin the file of its config, for messages
 * @param slots weights of the program by slot name
 * @param source where their tensors are; the caller closes it
 * @param vocabularySize ids are below it
 * @param contextLength most tokens of an input
 * @param layers of the transformer
 * @param width values of an output row; 1 with a head
 * @param head the row is a logit, not an embedding
 * @param decoder that the program was made of; null for an encoder
 * @param rope of an encoder with rotary positions
 */
public record PooledModel(
        String architecture,
        String origin,
        StepProgram program,
        Map<String, WeightSlot> slots,
        WeightSource source,
        int vocabularySize,
        int contextLength,
        int layers,
        int width,
        boolean head,
        @Nullable Decoder decoder,
        @Nullable Rope rope) {

    public PooledModel {
        slots = Map.copyOf(slots);
    }

    /**
     * What positions turn by, for each table that the program's ROPE ops name.
     *
     * @param maxLength most tokens of an input
     */
    public List<RopeFrequencies> ropeTables(int maxLength) {
        if (decoder != null) {
            return decoder.ropeTables(source, maxLength);
        }
        return rope == null ? List.of() : List.of(RopeFrequencies.of(rope, maxLength));
    }
}

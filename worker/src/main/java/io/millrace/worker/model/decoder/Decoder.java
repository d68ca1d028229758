package io.millrace.worker.model.decoder;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.model.config.DecoderConfig;
import io.millrace.worker.model.config.Rope;
import io.millrace.worker.model.config.RopeFrequencies;
import io.millrace.worker.model.weights.WeightSource;
import io.millrace.worker.model.weights.WeightTensor;
import io.millrace.worker.program.Recorder;
import io.millrace.worker.program.StepProgram;
import java.util.Collections;
import java.util.List;
import java.util.Map;

/**
 * A decoder-only transformer over a checkpoint: which weights it needs, checked against the checkpoint, and the step program
 * that computes it. Families are options of {@link DecoderConfig}, not classes. Immutable after construction.
 */
public final class Decoder {

    private final DecoderConfig config;
    private final int vocabulary;
    private final Map<String, WeightSlot> slots;
    private final StepProgram program;

    private Decoder(DecoderConfig config, WeightSource source, TensorNames names, int vocabulary) {
        this.config = config;
        this.vocabulary = vocabulary;
        Recorder recorder = new Recorder();
        Slots found = new Slots(config, source, names, recorder);
        this.program = record(recorder, found, names, output(names, source));
        this.slots = Collections.unmodifiableMap(found.all());
    }

    /**
     * The decoder of a checkpoint.
     *
     * @throws MillraceException MR-MODEL-003 when config and tensors contradict each other, naming file, tensor and remedy
     */
    public static Decoder of(DecoderConfig config, WeightSource source) {
        TensorNames names = new TensorNames(config, source);
        SlotCheck check = new SlotCheck(config.origin(), config.architecture(), config.layers(), source);
        Decoder decoder =
                new Decoder(config, source, names, check.vocabulary(names.embedding(), config.vocabularySize()));
        decoder.slots.values().forEach(check::check);
        check.unused(names.layers(), decoder.slots.values());
        return decoder;
    }

    /** What a decoder of that config, whose vocabulary is known, asks for by the names that the checkpoint has, whatever the shapes of its tensors are. */
    public static Map<String, WeightSlot> wanted(DecoderConfig config, WeightSource source) {
        return new Decoder(config, source, new TensorNames(config, source), config.vocabularySize()).slots;
    }

    public DecoderConfig config() {
        return config;
    }

    /** Ids are below this: rows of the embedding. */
    public int vocabularySize() {
        return vocabulary;
    }

    /** Weights by slot name, each in the checkpoint with this shape. */
    public Map<String, WeightSlot> slots() {
        return slots;
    }

    public StepProgram program() {
        return program;
    }

    /**
     * What positions turn by, for each table that the program's ROPE ops name; a checkpoint's own divisors are in it.
     *
     * @param maxLength most tokens of a sequence, see {@link RopeFrequencies#of}
     * @throws MillraceException MR-MODEL-003 when the checkpoint's divisors do not fit
     */
    public List<RopeFrequencies> ropeTables(WeightSource source, int maxLength) {
        RopeDivisors divisors = new RopeDivisors(config, new TensorNames(config, source), source);
        List<Rope> ropes = config.ropes();
        return ropes.stream()
                .map(rope -> rope == ropes.getFirst()
                        ? divisors.frequencies(rope, maxLength)
                        : RopeFrequencies.of(rope, maxLength))
                .toList();
    }

    /** The output matrix's tensor; the embedding's when they are one. */
    private String output(TensorNames names, WeightSource source) {
        // A GGUF file has no tensor for a tied output; config.json says.
        boolean gguf = config.naming() == DecoderConfig.Naming.GGUF;
        List<String> own = names.output();
        String present = own.stream().filter(source::has).findFirst().orElse("");
        if (config.tiedEmbeddings() || (gguf && present.isEmpty())) {
            return names.embedding();
        }
        return present.isEmpty() ? own.getFirst() : present;
    }

    private StepProgram record(Recorder r, Slots found, TensorNames names, String output) {
        int hidden = config.hiddenSize();
        int embedding = found.top("embed_tokens", names.embedding(), vocabulary, hidden);
        int x = r.embed(embedding, config.multipliers().embedding());
        Norms norms = new Norms(config, found, r);
        AttentionBlock attention = new AttentionBlock(config, found, r, norms);
        LatentBlock latent = new LatentBlock(config, found, r);
        MlpBlock mlp = new MlpBlock(config, found, r);
        float factor = config.multipliers().residual();
        for (int layer = 0; layer < config.layers(); layer++) {
            int before = norms.beforeAttention(layer, x);
            int mixed = config.latent() == null ? attention.record(layer, before) : latent.record(layer, before);
            x = r.add(x, norms.afterAttention(layer, mixed), factor);
            int made = mlp.record(layer, norms.beforeMlp(layer, x));
            x = r.add(x, norms.afterMlp(layer, made), factor);
        }
        int rows = r.gatherRows(x);
        int last = norms.last(rows, found.top("norm", names.finalNorm(), hidden));
        boolean tied = output.equals(names.embedding());
        int matrix = tied ? embedding : found.top("lm_head", output, vocabulary, hidden);
        r.sample(r.logits(
                last, matrix, config.multipliers().logits(), config.softCaps().logits()));
        return r.finish();
    }

    /** The stored tensor of a slot, of the slot's shape. */
    public static WeightTensor stored(WeightSource source, WeightSlot slot) {
        return StoredRows.of(source.tensor(slot.tensor()), slot);
    }
}

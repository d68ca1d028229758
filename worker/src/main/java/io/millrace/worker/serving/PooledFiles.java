package io.millrace.worker.serving;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.model.config.DecoderConfig;
import io.millrace.worker.model.config.EncoderConfig;
import io.millrace.worker.model.decoder.Decoder;
import io.millrace.worker.model.decoder.WeightSlot;
import io.millrace.worker.model.encoder.Encoder;
import io.millrace.worker.model.encoder.PooledDecoder;
import io.millrace.worker.model.encoder.PooledModel;
import io.millrace.worker.model.encoder.SentenceFiles;
import io.millrace.worker.model.gguf.GgufFile;
import io.millrace.worker.model.quant.QuantizedSource;
import io.millrace.worker.model.weights.WeightSource;
import io.millrace.worker.program.Op;
import java.nio.file.Path;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/**
 * The opened files of a model that gives embeddings or scores.
 *
 * @param path the .gguf file or the folder
 * @param metadata of a GGUF file; empty for a folder
 * @param sigmoid a score is the sigmoid of the head's logit
 * @param meantFor longest input by the model's own files; at most the context
 */
record PooledFiles(Path path, Map<String, Object> metadata, PooledModel model, boolean sigmoid, int meantFor)
        implements OpenModel {

    private static final String SCORES = "ForSequenceClassification";
    private static final String GGUF_HEAD = "cls.output.weight";
    /** {@code pooling_type} of GGUF files. */
    private static final Map<Integer, Op.Pool.Kind> KINDS =
            Map.of(1, Op.Pool.Kind.MEAN, 2, Op.Pool.Kind.FIRST, 3, Op.Pool.Kind.LAST, 4, Op.Pool.Kind.LAST);

    /**
     * A model that pools; null when the file is of one that generates, or it is to generate. The caller closes the file.
     *
     * @param task as of {@link ModelOptions}
     */
    static @Nullable PooledFiles gguf(Path path, GgufFile file, String task) {
        Map<String, Object> metadata = file.metadata();
        Op.Pool.Kind kind = KINDS.get(poolingType(metadata));
        boolean encoder = EncoderConfig.isEncoder(metadata);
        if (encoder && task.equals("generate")) {
            throw cannotGenerate(path);
        }
        if (!encoder && (task.equals("generate") || kind == null && task.equals("auto"))) {
            return null;
        }
        return new PooledFiles(path, metadata, model(path, metadata, file, encoder, kind, task), true, 0).checked(task);
    }

    /** Whether it can do what it is for. */
    private PooledFiles checked(String task) {
        if (task.equals("score") && !model.head()) {
            throw new MillraceException(
                    "MR-SERVE-008",
                    path
                            + " has no head that scores. Serve it with --task embed: its scores are then cosines of embeddings.");
        }
        return this;
    }

    private static MillraceException cannotGenerate(Path path) {
        return new MillraceException(
                "MR-SERVE-008", path + " is an encoder, which cannot generate text. Leave --task at auto.");
    }

    private static PooledModel model(
            Path path,
            Map<String, Object> metadata,
            WeightSource source,
            boolean encoder,
            Op.Pool.@Nullable Kind kind,
            String task) {
        if (encoder) {
            Op.Pool.Kind chosen = kind == null ? Op.Pool.Kind.MEAN : kind;
            return Encoder.of(EncoderConfig.fromGguf(path.toString(), metadata), source, chosen);
        }
        Decoder decoder = Decoder.of(DecoderConfig.fromGguf(path.toString(), metadata), source);
        boolean head = source.has(GGUF_HEAD) && !task.equals("embed");
        return PooledDecoder.of(decoder, source, kind == null ? Op.Pool.Kind.LAST : kind, head ? GGUF_HEAD : null);
    }

    private static int poolingType(Map<String, Object> metadata) {
        Object type = metadata.get(metadata.get("general.architecture") + ".pooling_type");
        return type instanceof Number number ? number.intValue() : 0;
    }

    /** The same of a folder. */
    static @Nullable PooledFiles folder(Path path, String json, String task) {
        boolean encoder = EncoderConfig.isEncoder(json);
        if (encoder && task.equals("generate")) {
            throw cannotGenerate(path);
        }
        if (!encoder && (task.equals("generate") || !(root(json) instanceof ObjectNode))) {
            return null;
        }
        SentenceFiles sentence = SentenceFiles.of(path);
        String architecture = encoder ? "" : architecture(json);
        boolean pools = encoder
                || sentence.present()
                || architecture.endsWith(SCORES)
                || architecture.endsWith("Model")
                || !task.equals("auto");
        if (!pools) {
            return null;
        }
        WeightSource source = QuantizedSource.open(path, json);
        try {
            String origin = path.resolve("config.json").toString();
            PooledFiles files = encoder
                    ? encoder(path, EncoderConfig.fromJson(origin, json), source, sentence)
                    : decoder(
                            path,
                            DecoderConfig.fromJson(origin, asGenerating(json, architecture)),
                            source,
                            sentence,
                            architecture.endsWith(SCORES) && !task.equals("embed"));
            return files.checked(task);
        } catch (RuntimeException e) {
            source.close();
            throw e;
        }
    }

    private static PooledFiles encoder(Path path, EncoderConfig config, WeightSource source, SentenceFiles sentence) {
        Op.Pool.Kind kind = sentence.pooling() == null ? Op.Pool.Kind.MEAN : sentence.pooling();
        return new PooledFiles(
                path, Map.of(), Encoder.of(config, source, kind), config.sigmoid(), sentence.maxTokens());
    }

    private static PooledFiles decoder(
            Path path, DecoderConfig config, WeightSource source, SentenceFiles sentence, boolean head) {
        Op.Pool.Kind kind = sentence.pooling() == null ? Op.Pool.Kind.LAST : sentence.pooling();
        PooledModel model = PooledDecoder.of(Decoder.of(config, source), source, kind, head ? "score.weight" : null);
        return new PooledFiles(path, Map.of(), model, true, sentence.maxTokens());
    }

    private static JsonNode root(String json) {
        try {
            return JsonMapper.shared().readTree(json);
        } catch (JacksonException e) {
            return JsonMapper.shared().nullNode();
        }
    }

    private static String architecture(String json) {
        return root(json).path("architectures").path(0).asString("");
    }

    /** The config of the same decoder with its language head, which is not needed here and may be missing. */
    private static String asGenerating(String json, String architecture) {
        if (!(root(json) instanceof ObjectNode root)) {
            return json;
        }
        String family = architecture.replaceFirst("(ForSequenceClassification|Model)$", "");
        if (!family.equals(architecture)) {
            root.putArray("architectures").add(family + "ForCausalLM");
        }
        root.put("tie_word_embeddings", true);
        return root.toString();
    }

    /**
     * Most tokens of an input: as the model is meant for unless the options say. More than its context is MR-SERVE-006 unless forced; a table
     * of positions cannot be.
     */
    int maxTokens(ModelOptions options) {
        int context = model.contextLength();
        int wanted = options.maxModelLen();
        boolean turns = model.decoder() != null || model.rope() != null;
        if (wanted > context && !(options.forceMaxModelLen() && turns)) {
            throw new MillraceException(
                    "MR-SERVE-006",
                    "max-model-len is " + wanted + ", but " + model.origin() + " is made for at most " + context
                            + " tokens. Lower --max-model-len" + (turns ? ", or add --force-max-model-len." : "."));
        }
        int meant = meantFor == 0 ? context : Math.min(meantFor, context);
        return wanted == 0 ? meant : wanted;
    }

    @Override
    public WeightSource source() {
        return model.source();
    }

    @Override
    public Map<String, WeightSlot> slots() {
        return model.slots();
    }
}

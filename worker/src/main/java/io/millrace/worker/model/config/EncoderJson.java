package io.millrace.worker.model.config;

import io.millrace.worker.model.config.EncoderConfig.Function;
import io.millrace.worker.model.config.EncoderConfig.Head;
import io.millrace.worker.model.config.EncoderConfig.Naming;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** Reads the {@code config.json} of an encoder. */
final class EncoderJson {

    private static final Set<String> BERT = Set.of("BertModel", "BertForMaskedLM", "BertForSequenceClassification");
    private static final Set<String> ROBERTA = Set.of(
            "RobertaModel",
            "RobertaForMaskedLM",
            "RobertaForSequenceClassification",
            "XLMRobertaModel",
            "XLMRobertaForMaskedLM",
            "XLMRobertaForSequenceClassification",
            "CamembertModel");
    private static final String NOMIC = "NomicBertModel";
    /** Rows of RoBERTa's position table before that of the first token: padding's and one more. */
    private static final int ROBERTA_OFFSET = 2;

    private final ConfigErrors errors;
    private final JsonNode root;

    EncoderJson(String origin, String json) {
        this.errors = new ConfigErrors(origin);
        try {
            this.root = JsonMapper.shared().readTree(json);
        } catch (JacksonException e) {
            throw errors.wrong("the file", "is not valid JSON (" + e.getOriginalMessage() + ")");
        }
    }

    static boolean isEncoder(String json) {
        try {
            String name = architecture(JsonMapper.shared().readTree(json));
            return BERT.contains(name) || ROBERTA.contains(name) || name.equals(NOMIC);
        } catch (JacksonException e) {
            return false;
        }
    }

    private static String architecture(JsonNode root) {
        String type = root.path("model_type").asString("");
        String otherwise = switch (type) {
            case "bert" -> "BertModel";
            case "roberta" -> "RobertaModel";
            case "xlm-roberta" -> "XLMRobertaModel";
            case "nomic_bert" -> NOMIC;
            default -> type.isEmpty() ? "(none)" : type;
        };
        return root.path("architectures").path(0).asString(otherwise);
    }

    EncoderConfig read() {
        String name = architecture(root);
        if (name.equals(NOMIC)) {
            return nomic();
        }
        boolean roberta = ROBERTA.contains(name);
        if (!roberta && !BERT.contains(name)) {
            throw errors.architecture(name);
        }
        require("position_embedding_type", "absolute");
        require("is_decoder", "false");
        int offset = roberta ? ROBERTA_OFFSET : 0;
        int positions = integer("max_position_embeddings", ConfigErrors.MAX_SIZE);
        boolean head = name.endsWith("ForSequenceClassification");
        Head kind = roberta ? Head.DENSE : Head.POOLER;
        return new EncoderConfig(
                roberta ? "roberta" : "bert",
                errors.origin(),
                Naming.BERT,
                hidden("hidden_size", "num_attention_heads"),
                integer("intermediate_size", ConfigErrors.MAX_SIZE),
                integer("num_hidden_layers", ConfigErrors.MAX_LAYERS),
                integer("num_attention_heads", ConfigErrors.MAX_SIZE),
                integer("vocab_size", ConfigErrors.MAX_SIZE),
                errors.size("max_position_embeddings", positions - (long) offset, ConfigErrors.MAX_SIZE),
                offset,
                count("type_vocab_size"),
                eps("layer_norm_eps"),
                function(root.path("hidden_act").asString("gelu")),
                false,
                null,
                head ? kind : Head.NONE,
                sigmoid());
    }

    /** In the form that Nomic publishes. */
    private EncoderConfig nomic() {
        require("prenorm", "false");
        require("use_rms_norm", "false");
        require("causal", "false");
        require("rotary_scaling_factor", "null");
        require("num_experts", "0");
        int hidden = hidden("n_embd", "n_head");
        int heads = integer("n_head", ConfigErrors.MAX_SIZE);
        int dim = hidden / heads;
        double fraction = number("rotary_emb_fraction", 1);
        int dims = (int) (dim * fraction);
        String act = root.path("activation_function").asString("gelu");
        errors.heads(heads, heads, dim, dims);
        boolean pairs = root.path("rotary_emb_interleaved").asBoolean(false);
        return new EncoderConfig(
                "nomic-bert",
                errors.origin(),
                Naming.NOMIC,
                hidden,
                has("n_inner") ? integer("n_inner", ConfigErrors.MAX_SIZE) : 4 * hidden,
                integer("n_layer", ConfigErrors.MAX_LAYERS),
                heads,
                0,
                integer("n_positions", ConfigErrors.MAX_SIZE),
                0,
                count("type_vocab_size"),
                eps("layer_norm_epsilon"),
                switch (act) {
                    case "swiglu" -> Function.SILU;
                    case "geglu" -> Function.GELU;
                    default -> function(act);
                },
                act.endsWith("glu"),
                Rope.plain(
                        pairs ? Rope.Layout.PAIRS : Rope.Layout.HALVES,
                        errors.positive("rotary_emb_base", number("rotary_emb_base", 10000)),
                        dims),
                Head.NONE,
                false);
    }

    private int hidden(String key, String headsKey) {
        int hidden = integer(key, ConfigErrors.MAX_SIZE);
        int heads = integer(headsKey, ConfigErrors.MAX_SIZE);
        if (hidden % heads != 0) {
            throw errors.wrong(key, "is " + hidden + ", not a multiple of " + headsKey + " " + heads);
        }
        return hidden;
    }

    private Function function(String name) {
        return switch (name) {
            case "gelu" -> Function.GELU;
            case "gelu_new", "gelu_pytorch_tanh", "gelu_tanh" -> Function.GELU_TANH;
            case "relu" -> Function.RELU;
            case "silu", "swish" -> Function.SILU;
            default -> throw errors.unsupported("activation", name, "gelu, gelu_new, relu, silu");
        };
    }

    /** What sentence-transformers does with the logit: sigmoid unless the config names the identity. */
    private boolean sigmoid() {
        JsonNode newer = root.path("sentence_transformers").path("activation_fn");
        String name =
                newer.asString(root.path("sbert_ce_default_activation_function").asString("Sigmoid"));
        return switch (name.substring(name.lastIndexOf('.') + 1)) {
            case "Sigmoid" -> true;
            case "Identity" -> false;
            default -> throw errors.unsupported("the score's activation", name, "Sigmoid, Identity");
        };
    }

    private void require(String key, String wanted) {
        JsonNode node = root.path(key);
        String value = node.asString(node.toString());
        if (has(key) && !value.equals(wanted)) {
            throw errors.unsupported(key, value, wanted);
        }
    }

    private float eps(String key) {
        return (float) errors.positive(key, number(key, 1e-12));
    }

    private boolean has(String key) {
        return root.hasNonNull(key);
    }

    private int count(String key) {
        return has(key) && root.path(key).asInt(-1) == 0 ? 0 : integer(key, ConfigErrors.MAX_SIZE);
    }

    private int integer(String key, int max) {
        JsonNode node = present(key);
        if (node == null || !node.isIntegralNumber() || !node.canConvertToLong()) {
            throw errors.wrong(key, node == null ? "is missing" : "is " + node + " where a whole number is needed");
        }
        return errors.size(key, node.longValue(), max);
    }

    private double number(String key, double otherwise) {
        JsonNode node = present(key);
        if (node != null && !node.isNumber()) {
            throw errors.wrong(key, "is " + node + " where a number is needed");
        }
        return node == null ? otherwise : node.doubleValue();
    }

    private @Nullable JsonNode present(String key) {
        return has(key) ? root.get(key) : null;
    }
}

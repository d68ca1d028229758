package io.millrace.gateway.api;

import io.millrace.gateway.stream.ApiException;
import io.millrace.shared.proto.Choices;
import io.millrace.shared.proto.OutputGrammar;
import io.millrace.shared.proto.Sampling;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;

/**
 * What a body says of the form of the output: OpenAI's {@code response_format} (or {@code text.format}), Anthropic's {@code
 * output_config.format}, vLLM's {@code structured_outputs} and its older {@code guided_*}. At most one of them may. Whether a schema or grammar can be honoured, the worker
 * finds out. Thread-safe.
 */
final class GrammarFields {

    private static final int CHARACTERS_MAX = 1 << 20;
    private static final int CHOICES_MAX = 10_000;
    private static final Pattern NAME = Pattern.compile("[a-zA-Z0-9_-]{1,64}");
    private static final Map<String, String> GUIDED = Map.of(
            "guided_json", "json", "guided_regex", "regex", "guided_choice", "choice", "guided_grammar", "grammar");
    private static final List<String> KINDS = List.of("json", "regex", "choice", "grammar", "json_object");
    private static final List<String> REFUSED = List.of("structural_tag", "whitespace_pattern");
    private static final List<String> EFFORTS = List.of("low", "medium", "high", "xhigh", "max");

    private final Json json;

    GrammarFields(Json json) {
        this.json = json;
    }

    /** Reads {@code response_format} and vLLM's fields. */
    void read(Json.Body parsed, Sampling.Builder out) {
        Fields body = parsed.fields();
        List<OutputGrammar> found = ofVllm(parsed.text(), body);
        OutputGrammar format = ofFormat(body, "response_format", parsed.text(), "json_schema");
        set(body, format, found, out);
    }

    /** Reads {@code text.format} and vLLM's fields, as for the Responses API. */
    void readForResponse(Json.Body parsed, Sampling.Builder out) {
        Fields body = parsed.fields();
        List<OutputGrammar> found = ofVllm(parsed.text(), body);
        elsewhere(body, "text.format");
        JsonNode text = body.get("text");
        if (text != null && !text.isObject()) {
            throw body.wrong("text", "an object", text);
        }
        OutputGrammar format =
                text == null ? null : ofFormat(new Fields(text, "text"), "format", slice(parsed.text(), "text"), "");
        set(body, format, found, out);
    }

    /** Reads {@code output_config.format}, the beta's {@code output_format}, and vLLM's fields, as for Anthropic's Messages. */
    void readForMessage(Json.Body parsed, Sampling.Builder out) {
        Fields body = parsed.fields();
        List<OutputGrammar> found = ofVllm(parsed.text(), body);
        elsewhere(body, "output_config.format");
        OutputGrammar older = ofSchema(body, "output_format", parsed.text());
        if (older != null) {
            found.addFirst(older);
        }
        Fields config = body.object("output_config");
        if (config == null) {
            set(body, null, found, out);
            return;
        }
        String effort = config.string("effort");
        if (effort != null && !EFFORTS.contains(effort)) {
            throw config.invalid("effort", "'output_config.effort' must be one of " + String.join(", ", EFFORTS) + ".");
        }
        set(body, ofSchema(config, "format", slice(parsed.text(), "output_config")), found, out);
    }

    /** OpenAI's field says nothing where there is another one. */
    private static void elsewhere(Fields body, String here) {
        JsonNode format = body.get("response_format");
        if (format != null && !"text".equals(format.path("type").asString(""))) {
            throw body.unsupported("response_format", "On this endpoint the format of the answer is '" + here + "'.");
        }
    }

    /** Anthropic's object with a type and a schema beside it. */
    private @Nullable OutputGrammar ofSchema(Fields holder, String name, String text) {
        Fields format = holder.object(name);
        if (format == null) {
            return null;
        }
        String type = format.string("type");
        if (type == null) {
            throw format.missing("type");
        }
        if (!type.equals("json_schema")) {
            throw format.invalid("type", "'" + format.path("type") + "' is '" + type + "'; it must be json_schema.");
        }
        JsonNode schema = format.get("schema");
        if (schema == null) {
            throw format.missing("schema");
        }
        return ofJson(format, "schema", slice(text, name), schema);
    }

    private static void set(
            Fields body, @Nullable OutputGrammar format, List<OutputGrammar> found, Sampling.Builder out) {
        List<OutputGrammar> all = new ArrayList<>(found);
        if (format != null) {
            all.addFirst(format);
        }
        if (all.size() > 1) {
            String first = all.get(0).getParam();
            String second = all.get(1).getParam();
            throw body.invalid(
                    second,
                    "'" + first + "' and '" + second + "' both say what the output must be; give only one of them.");
        }
        if (!all.isEmpty()) {
            out.setGrammar(all.getFirst());
        }
    }

    /**
     * OpenAI's object with a type.
     *
     * @param text the object's own text, or that of the one around it
     * @param inner the field that holds name and schema; empty: they stand beside the type
     */
    private @Nullable OutputGrammar ofFormat(Fields body, String name, String text, String inner) {
        JsonNode format = body.get(name);
        if (format == null) {
            return null;
        }
        if (!format.isObject()) {
            throw body.wrong(name, "an object with a 'type'", format);
        }
        Fields fields = new Fields(format, body.path(name));
        String type = fields.string("type");
        if (type == null) {
            throw fields.missing("type");
        }
        return switch (type) {
            case "text" -> null;
            case "json_object" ->
                OutputGrammar.newBuilder()
                        .setJsonObject(true)
                        .setParam(body.path(name))
                        .build();
            case "json_schema" -> schema(fields, slice(text, name), inner);
            default ->
                throw fields.invalid(
                        "type",
                        "'" + fields.path("type") + "' must be \"text\", \"json_object\" or \"json_schema\", not \""
                                + Fields.shown(format.path("type")).replace("\"", "") + "\".");
        };
    }

    private OutputGrammar schema(Fields format, String text, String inner) {
        Fields holder = format;
        String own = text;
        if (!inner.isEmpty()) {
            JsonNode node = format.get(inner);
            if (node == null) {
                throw format.missing(inner);
            }
            if (!node.isObject()) {
                throw format.wrong(inner, "an object with 'name' and 'schema'", node);
            }
            holder = new Fields(node, format.path(inner));
            own = slice(text, inner);
        }
        String name = holder.string("name");
        if (name == null) {
            throw holder.missing("name");
        }
        if (!NAME.matcher(name).matches()) {
            throw holder.invalid(
                    "name", "'" + holder.path("name") + "' must be 1 to 64 letters, digits, underscores and dashes.");
        }
        holder.bool("strict", false);
        JsonNode schema = holder.get("schema");
        if (schema == null) {
            throw holder.missing("schema");
        }
        return ofJson(holder, "schema", own, schema);
    }

    /** A schema as an object, or true or false, or JSON text. */
    private OutputGrammar ofJson(Fields holder, String name, String text, JsonNode schema) {
        String own;
        if (schema.isObject()) {
            own = slice(text, name);
        } else if (schema.isString() && !name.equals("schema")) {
            own = schema.stringValue();
        } else if (schema.isBoolean()) {
            own = schema.toString();
        } else {
            throw holder.wrong(name, "a JSON schema", schema);
        }
        return OutputGrammar.newBuilder()
                .setJsonSchema(bounded(holder, name, own))
                .setParam(holder.path(name))
                .build();
    }

    private List<OutputGrammar> ofVllm(String text, Fields body) {
        List<OutputGrammar> found = new ArrayList<>();
        GUIDED.keySet().stream().sorted().filter(body::has).forEach(name -> {
            OutputGrammar grammar = of(GUIDED.getOrDefault(name, ""), body, name, text);
            if (grammar != null) {
                found.add(grammar);
            }
        });
        if (body.has("guided_whitespace_pattern")) {
            throw body.unsupported("guided_whitespace_pattern", "White space cannot be chosen by a pattern.");
        }
        JsonNode outputs = body.get("structured_outputs");
        if (outputs == null) {
            return found;
        }
        if (!outputs.isObject()) {
            throw body.wrong("structured_outputs", "an object", outputs);
        }
        Fields fields = new Fields(outputs, "structured_outputs");
        for (String name : REFUSED) {
            if (fields.has(name)) {
                throw fields.unsupported(name, "'" + fields.path(name) + "' is not supported by this server.");
            }
        }
        int before = found.size();
        boolean compact = fields.bool("disable_any_whitespace", false);
        for (String kind : KINDS) {
            OutputGrammar grammar = fields.has(kind) ? of(kind, fields, kind, slice(text, "structured_outputs")) : null;
            if (grammar != null) {
                found.add(grammar.toBuilder().setCompact(compact).build());
            }
        }
        if (found.size() == before && !outputs.isEmpty()) {
            throw body.invalid(
                    "structured_outputs", "'structured_outputs' must have one of " + String.join(", ", KINDS) + ".");
        }
        return found;
    }

    private @Nullable OutputGrammar of(String kind, Fields fields, String name, String text) {
        OutputGrammar.Builder out = OutputGrammar.newBuilder().setParam(fields.path(name));
        JsonNode value = fields.get(name);
        if (value == null) {
            return null;
        }
        return switch (kind) {
            case "json" -> ofJson(fields, name, text, value);
            case "json_object" ->
                fields.bool(name, false) ? out.setJsonObject(true).build() : null;
            case "choice" -> out.setChoice(choices(fields, name, value)).build();
            case "regex" ->
                out.setRegex(bounded(fields, name, fields.string(name))).build();
            default -> out.setEbnf(bounded(fields, name, fields.string(name))).build();
        };
    }

    private static Choices choices(Fields fields, String name, JsonNode value) {
        if (!value.isArray() || value.isEmpty()) {
            throw fields.wrong(name, "a list of at least one string", value);
        }
        List<String> texts = fields.strings(name, CHOICES_MAX);
        if (texts.stream().mapToLong(String::length).sum() > CHARACTERS_MAX) {
            throw tooLong(fields, name);
        }
        for (int i = 0; i < texts.size(); i++) {
            if (texts.get(i).isEmpty()) {
                throw fields.invalid(name + "[" + i + "]", "'" + fields.path(name) + "[" + i + "]' is empty.");
            }
        }
        return Choices.newBuilder().addAllTexts(texts).build();
    }

    private static String bounded(Fields fields, String name, @Nullable String text) {
        if (text == null || text.isBlank()) {
            throw fields.invalid(name, "'" + fields.path(name) + "' is empty.");
        }
        if (text.length() > CHARACTERS_MAX) {
            throw tooLong(fields, name);
        }
        return text;
    }

    private static ApiException tooLong(Fields fields, String name) {
        return fields.invalid(name, "'%s' has more than %,d characters.".formatted(fields.path(name), CHARACTERS_MAX));
    }

    /** The value of a field of an object's text, in the client's own characters; empty when there is none. */
    private String slice(String text, String name) {
        return json.slices(text, Set.of(name)).getOrDefault(name, "");
    }
}

package io.millrace.gateway.api;

import io.millrace.gateway.stream.ApiError;
import io.millrace.gateway.stream.ApiException;
import io.millrace.gateway.stream.JsonText;
import io.millrace.shared.proto.Sampling;
import java.util.List;
import java.util.OptionalInt;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;

/** Fields of {@code /v1/responses} beside input, tools and sampling: what they mean here, and what the object repeats. */
final class ResponseFields {

    private static final String LOGPROBS = "message.output_text.logprobs";
    private static final Set<String> INCLUDES = Set.of(
            LOGPROBS,
            "reasoning.encrypted_content",
            "message.input_image.image_url",
            "file_search_call.results",
            "web_search_call.results",
            "web_search_call.action.sources",
            "code_interpreter_call.outputs",
            "computer_call_output.output.image_url");
    private static final Set<String> SUMMARIES = Set.of("auto", "concise", "detailed");
    private static final int SHOWN_MAX = 64;
    private static final int STRING_MAX = 512;

    private ResponseFields() {}

    /** Throws 400 for what this server cannot do, rather than doing something else. */
    static void refuse(Fields body) {
        if (body.has("conversation")) {
            throw body.unsupported(
                    "conversation",
                    "Conversations are not kept by this server; chain responses with 'previous_response_id'.");
        }
        if (body.has("prompt")) {
            throw body.unsupported(
                    "prompt", "Prompt templates are not kept by this server; send 'instructions' and 'input'.");
        }
        if (body.has("prompt_logprobs")) {
            throw body.unsupported(
                    "prompt_logprobs",
                    "'prompt_logprobs' are not given on this endpoint; use /v1/completions or /v1/chat/completions.");
        }
        if (body.integer("n", 1, SamplingFields.N_MAX).orElse(1) != 1) {
            throw body.unsupported("n", "A response has one answer; use /v1/chat/completions for more.");
        }
        verbosity(body);
    }

    private static void verbosity(Fields body) {
        JsonNode text = body.get("text");
        if (text == null || !text.isObject()) {
            return;
        }
        Fields fields = new Fields(text, body.path("text"));
        String verbosity = fields.string("verbosity");
        if (verbosity != null && !verbosity.equals("medium")) {
            throw fields.unsupported(
                    "verbosity", "'text.verbosity' may only be \"medium\": no model here has other ones.");
        }
    }

    /** Throws 400 for a field that nobody has read, so nobody would honour. */
    static void refuseUnknown(Fields body) {
        List<String> unknown = body.unread();
        if (!unknown.isEmpty()) {
            throw new ApiException(ApiError.of(
                    400,
                    "unknown_parameter",
                    unknown.getFirst(),
                    "Unknown parameter: '" + unknown.getFirst() + "'. This server does not know it on this endpoint."));
        }
    }

    /** {@code top_logprobs} and {@code include}. */
    static void logprobs(Fields body, Sampling.Builder out) {
        OptionalInt top = body.integer("top_logprobs", 0, SamplingFields.LOGPROBS_MAX);
        List<String> include = body.strings("include", 2 * INCLUDES.size());
        for (int i = 0; i < include.size(); i++) {
            if (!INCLUDES.contains(include.get(i))) {
                throw body.invalid(
                        "include[" + i + "]",
                        "'include[" + i + "]' must be one of "
                                + String.join(", ", INCLUDES.stream().sorted().toList()) + ".");
            }
        }
        if (top.orElse(0) > 0 || include.contains(LOGPROBS)) {
            out.setLogprobs(top.orElse(0));
        }
    }

    /** {@code truncation}: whether the oldest turns are left out when the context does not hold all. */
    static boolean dropsOldest(Fields body) {
        return "auto".equals(oneOf(body, "truncation", Set.of("auto", "disabled")));
    }

    /** Variables of the chat template: the client's own, and the effort of {@code reasoning}, for templates that know it. */
    static String templateKwargs(Fields body, String own) {
        return TemplateFields.variables(body, own, effort(body), "");
    }

    private static @Nullable String effort(Fields body) {
        JsonNode reasoning = body.get("reasoning");
        if (reasoning == null) {
            return null;
        }
        if (!reasoning.isObject()) {
            throw body.wrong("reasoning", "an object", reasoning);
        }
        Fields fields = new Fields(reasoning, body.path("reasoning"));
        oneOf(fields, "summary", SUMMARIES);
        return oneOf(fields, "effort", TemplateFields.EFFORTS);
    }

    /**
     * Fields of the request that the response object repeats.
     *
     * @param format of the text, as JSON
     * @param previous the response that this one continues
     */
    static String repeated(Fields body, String format, @Nullable String previous) {
        JsonText json = new JsonText().object().field("instructions", body.string("instructions"));
        json.name("metadata").raw(Common.metadata(body));
        json.field("previous_response_id", previous);
        json.field("parallel_tool_calls", body.bool("parallel_tool_calls", true));
        repeat(json, "tool_choice", body.get("tool_choice"), "\"auto\"");
        repeat(json, "tools", body.get("tools"), "[]");
        reasoning(body, json);
        json.name("text").raw("{\"format\":" + format + ",\"verbosity\":\"medium\"}");
        json.field("truncation", dropsOldest(body) ? "auto" : "disabled");
        json.field(
                "top_logprobs",
                body.integer("top_logprobs", 0, SamplingFields.LOGPROBS_MAX).orElse(0));
        OptionalInt calls = body.integer("max_tool_calls", 1, Integer.MAX_VALUE);
        if (calls.isPresent()) {
            json.field("max_tool_calls", calls.getAsInt());
        } else {
            json.nothing("max_tool_calls");
        }
        String tier = body.string("service_tier");
        json.field("service_tier", tier == null || tier.equals("auto") ? "default" : tier);
        json.field("prompt_cache_key", bounded(body, "prompt_cache_key"));
        oneOf(body, "prompt_cache_retention", Set.of("in-memory", "in_memory", "24h"));
        json.field("safety_identifier", bounded(body, "safety_identifier"));
        return json.field("user", body.string("user")).endObject().toString();
    }

    private static void repeat(JsonText json, String name, @Nullable JsonNode own, String otherwise) {
        json.name(name).raw(own == null ? otherwise : own.toString());
    }

    private static void reasoning(Fields body, JsonText json) {
        JsonNode reasoning = body.get("reasoning");
        JsonText out = json.name("reasoning").object();
        out.field("effort", effort(body));
        out.field(
                "summary", reasoning == null ? null : new Fields(reasoning, body.path("reasoning")).string("summary"));
        out.endObject();
    }

    private static @Nullable String bounded(Fields body, String name) {
        String text = body.string(name);
        if (text != null && text.length() > STRING_MAX) {
            throw body.invalid(name, "'" + name + "' has more than " + STRING_MAX + " characters.");
        }
        return text;
    }

    private static @Nullable String oneOf(Fields fields, String name, Set<String> values) {
        String value = fields.string(name);
        if (value != null && !values.contains(value)) {
            throw fields.invalid(
                    name,
                    "'" + fields.path(name) + "' must be one of "
                            + String.join(", ", values.stream().sorted().toList()) + ", not '"
                            + (value.length() > SHOWN_MAX ? value.substring(0, SHOWN_MAX) + "…" : value) + "'.");
        }
        return value;
    }
}

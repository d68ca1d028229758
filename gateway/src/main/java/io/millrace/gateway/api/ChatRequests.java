package io.millrace.gateway.api;

import io.millrace.shared.proto.ChatInput;
import io.millrace.shared.proto.ResponseShape;
import io.millrace.shared.proto.Sampling;
import io.millrace.shared.proto.Submit;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;

/** Bodies of {@code /v1/chat/completions}. */
final class ChatRequests {

    private static final Set<String> VERBATIM = Set.of("messages", "tools", "chat_template_kwargs", "documents");

    private final Json json;
    private final GrammarFields grammars;

    ChatRequests(Json json) {
        this.json = json;
        this.grammars = new GrammarFields(json);
    }

    Draft read(Json.Body parsed) {
        Fields body = parsed.fields();
        String model = Common.model(body);
        List<Draft.Text> texts = Messages.read(body, "messages");
        Sampling.Builder sampling = SamplingFields.read(body, List.of("max_completion_tokens", "max_tokens"));
        logprobs(body, sampling);
        SamplingFields.promptLogprobs(body, sampling);
        SamplingFields.specialTokens(body, sampling);
        sampling.setEcho(body.bool("echo", false));
        refuse(body);
        grammars.read(parsed, sampling);
        Map<String, String> slices = json.slices(parsed.text(), VERBATIM);
        ChatInput chat = chat(body, slices);
        Submit.Builder submit = Submit.newBuilder()
                .setSampling(sampling)
                .setN(n(body))
                .setShape(Common.shape(body, ResponseShape.Api.CHAT_COMPLETIONS));
        Common.read(body, submit);
        OptionalLong seed = Common.seed(body);
        seed.ifPresent(submit::setSeed);
        long bytes =
                chat.getMessagesJson().length() + (long) chat.getToolsJson().length();
        var prompt = new Draft.Prompt(Submit.newBuilder().setChat(chat).build(), texts, bytes / 4 + 1);
        return new Draft(model, submit.build(), List.of(prompt), seed.isPresent());
    }

    private static int n(Fields body) {
        int n = SamplingFields.n(body);
        if (body.integer("best_of", 1, SamplingFields.N_MAX).orElse(n) != n) {
            throw body.unsupported(
                    "best_of", "'best_of' other than 'n' is for /v1/completions; chat completions do not have it.");
        }
        return n;
    }

    /** OpenAI's fields for what this server does not do, so that nobody waits for it. */
    private static void refuse(Fields body) {
        for (String modality : body.strings("modalities", 2)) {
            if (!modality.equals("text")) {
                throw body.unsupported("modalities", "'modalities' may be [\"text\"] only.");
            }
        }
        for (String name : List.of("audio", "web_search_options")) {
            if (body.has(name)) {
                throw body.unsupported(name, "'" + name + "' is not supported by this server; leave it out.");
            }
        }
        for (String name : List.of("functions", "function_call")) {
            if (body.has(name)) {
                throw body.unsupported(name, "'" + name + "' is deprecated; use 'tools' and 'tool_choice'.");
            }
        }
    }

    private static void logprobs(Fields body, Sampling.Builder sampling) {
        boolean wanted = body.bool("logprobs", false);
        int top = body.integer("top_logprobs", 0, SamplingFields.LOGPROBS_MAX).orElse(0);
        if (top > 0 && !wanted) {
            throw body.invalid("top_logprobs", "'top_logprobs' needs 'logprobs': true.");
        }
        if (wanted) {
            sampling.setLogprobs(top);
        }
    }

    private static ChatInput chat(Fields body, Map<String, String> slices) {
        boolean continued = body.bool("continue_final_message", false);
        boolean prompted = body.bool("add_generation_prompt", !continued);
        if (continued && prompted) {
            throw body.invalid(
                    "continue_final_message",
                    "'continue_final_message' and 'add_generation_prompt' exclude each other.");
        }
        return ChatInput.newBuilder()
                .setMessagesJson(slices.getOrDefault("messages", "[]"))
                .setToolsJson(tools(body) ? slices.getOrDefault("tools", "") : "")
                .setTemplateKwargsJson(TemplateFields.ofChat(body, slices))
                .setAddGenerationPrompt(prompted)
                .setContinueFinalMessage(continued)
                .build();
    }

    /** Whether the template is to see the tools. */
    private static boolean tools(Fields body) {
        JsonNode tools = body.get("tools");
        if (tools != null) {
            if (!tools.isArray()) {
                throw body.wrong("tools", "a list", tools);
            }
            for (int i = 0; i < tools.size(); i++) {
                tool(body, "tools[" + i + "]", tools.get(i));
            }
        }
        JsonNode choice = body.get("tool_choice");
        if (choice != null && !(choice.isString() && Set.of("auto", "none").contains(choice.stringValue()))) {
            throw body.unsupported(
                    "tool_choice", "'tool_choice' may be \"auto\" or \"none\"; this server cannot force a tool yet.");
        }
        return tools != null && !tools.isEmpty() && (choice == null || !"none".equals(choice.stringValue()));
    }

    private static void tool(Fields body, String place, JsonNode tool) {
        if (!tool.isObject()) {
            throw body.wrong(place, "an object", tool);
        }
        Fields fields = new Fields(tool, body.path(place));
        @Nullable JsonNode function = fields.get("function");
        if (!"function".equals(fields.string("type")) || function == null || !function.isObject()) {
            throw body.invalid(place, "'" + place + "' must be of type 'function' with an object 'function'.");
        }
        if (new Fields(function, fields.path("function")).string("name") == null) {
            throw new Fields(function, fields.path("function")).missing("name");
        }
    }
}

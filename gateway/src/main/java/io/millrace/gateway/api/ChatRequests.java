package io.millrace.gateway.api;

import io.millrace.shared.proto.ChatInput;
import io.millrace.shared.proto.ResponseShape;
import io.millrace.shared.proto.Sampling;
import io.millrace.shared.proto.Submit;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.Set;

/** Bodies of {@code /v1/chat/completions}. */
final class ChatRequests {

    private static final Set<String> VERBATIM = Set.of("messages", "tools", "chat_template_kwargs", "documents");

    private final Json json;
    private final GrammarFields grammars;
    private final ToolFields tools = new ToolFields(ToolFields.Form.CHAT);
    private final int messagesMax;

    /** @param messagesMax most messages of a conversation */
    ChatRequests(Json json, int messagesMax) {
        this.json = json;
        this.messagesMax = messagesMax;
        this.grammars = new GrammarFields(json);
    }

    Draft read(Json.Body parsed) {
        Fields body = parsed.fields();
        String model = Common.model(body);
        List<Draft.Text> texts = Messages.read(body, "messages", messagesMax);
        ToolMessages.check(body, "messages");
        Sampling.Builder sampling = SamplingFields.read(body, List.of("max_completion_tokens", "max_tokens"));
        logprobs(body, sampling);
        SamplingFields.promptLogprobs(body, sampling);
        SamplingFields.specialTokens(body, sampling);
        sampling.setEcho(body.bool("echo", false));
        refuse(body);
        grammars.read(parsed, sampling);
        Map<String, String> slices = json.slices(parsed.text(), VERBATIM);
        ChatInput.Builder chat = chat(body, slices);
        tools.read(body, slices.getOrDefault("tools", ""), sampling, chat);
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

    /** The conversation of a body alone, checked as for an answer. */
    ChatInput chat(Json.Body parsed) {
        Fields body = new Fields(parsed.object(), "");
        Messages.read(body, "messages", messagesMax);
        Map<String, String> slices = json.slices(parsed.text(), VERBATIM);
        ChatInput.Builder chat = chat(body, slices);
        tools.read(body, slices.getOrDefault("tools", ""), Sampling.newBuilder(), chat);
        return chat.build();
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

    private static ChatInput.Builder chat(Fields body, Map<String, String> slices) {
        boolean continued = body.bool("continue_final_message", false);
        boolean prompted = body.bool("add_generation_prompt", !continued);
        if (continued && prompted) {
            throw body.invalid(
                    "continue_final_message",
                    "'continue_final_message' and 'add_generation_prompt' exclude each other.");
        }
        return ChatInput.newBuilder()
                .setMessagesJson(slices.getOrDefault("messages", "[]"))
                .setTemplateKwargsJson(TemplateFields.ofChat(body, slices))
                .setAddGenerationPrompt(prompted)
                .setContinueFinalMessage(continued)
                .setHideReasoning(!body.bool("include_reasoning", true));
    }
}

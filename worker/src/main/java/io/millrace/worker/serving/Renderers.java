package io.millrace.worker.serving;

import io.millrace.shared.proto.ChatInput;
import io.millrace.worker.text.Tokenizer;
import io.millrace.worker.text.jinja.ChatTemplate;
import io.millrace.worker.text.jinja.TemplateException;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.util.HashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Renders chats with a model's own templates. */
final class Renderers {

    private static final Logger LOG = LoggerFactory.getLogger(Renderers.class);

    private Renderers() {}

    /** A template and the form in which it takes messages. */
    private record Compiled(ChatTemplate template, TemplateForm form) {

        static Compiled of(String source, Map<String, String> tokens) {
            ChatTemplate template = ChatTemplate.compile(source, tokens);
            return new Compiled(template, TemplateForm.of(template, source));
        }
    }

    /** Null when the model has no template. A template that cannot be compiled refuses every chat, saying why. */
    static @Nullable PromptRenderer of(ModelFiles files, Tokenizer tokenizer) {
        TemplateSource source = files.templates();
        if (source.named().isEmpty()) {
            return null;
        }
        Map<String, String> tokens = tokens(source, tokenizer);
        try {
            Compiled chat = source.chat() == null ? null : Compiled.of(source.chat(), tokens);
            Compiled tools = source.tools() == null ? chat : Compiled.of(source.tools(), tokens);
            return (input, createdMs) -> {
                Compiled template = input.getToolsJson().isEmpty() ? chat : tools;
                if (template == null) {
                    throw new Refusal(
                            400,
                            "no_chat_template",
                            "messages",
                            "The model's chat templates are named "
                                    + String.join(", ", source.named().keySet())
                                    + "; none is the default one. Use /v1/completions with a prompt.");
                }
                return render(template, input, createdMs);
            };
        } catch (TemplateException e) {
            LOG.warn("the chat template of {} cannot be used, chats are refused: {}", files.path(), e.toString());
            return (input, createdMs) -> {
                throw refusal(e);
            };
        }
    }

    /** Texts of the special tokens by the names of their variables. */
    private static Map<String, String> tokens(TemplateSource source, Tokenizer tokenizer) {
        Map<String, String> tokens = new HashMap<>();
        if (tokenizer.bosId() >= 0) {
            tokens.put("bos_token", text(tokenizer, tokenizer.bosId()));
        }
        if (tokenizer.eosIds().length > 0) {
            tokens.put("eos_token", text(tokenizer, tokenizer.eosIds()[0]));
        }
        tokens.putAll(source.tokens());
        tokens.values().removeIf(String::isEmpty);
        return tokens;
    }

    private static String text(Tokenizer tokenizer, int id) {
        return new String(tokenizer.bytes(id), StandardCharsets.UTF_8);
    }

    /** The request's own time in UTC, so that every worker writes the same date. */
    private static String render(Compiled compiled, ChatInput input, long createdMs) {
        try {
            return compiled.template()
                    .render(new io.millrace.worker.text.jinja.ChatInput(
                            compiled.form().adapt(input.getMessagesJson()),
                            input.getToolsJson().isEmpty() ? null : input.getToolsJson(),
                            input.getTemplateKwargsJson().isEmpty() ? null : input.getTemplateKwargsJson(),
                            input.getAddGenerationPrompt(),
                            input.getContinueFinalMessage(),
                            LocalDateTime.ofInstant(Instant.ofEpochMilli(createdMs), ZoneOffset.UTC)));
        } catch (TemplateException e) {
            throw refusal(e);
        }
    }

    private static Refusal refusal(TemplateException e) {
        return new Refusal(
                400, "chat_template_error", "messages", "The chat template refuses the messages: " + e.getMessage());
    }
}

package io.millrace.worker.serving;

import io.millrace.shared.proto.ChatInput;
import io.millrace.worker.text.Tokenizer;
import io.millrace.worker.text.jinja.ChatTemplate;
import io.millrace.worker.text.jinja.TemplateException;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Renders chats with a model's own templates. */
final class Renderers {

    private static final Logger LOG = LoggerFactory.getLogger(Renderers.class);

    private Renderers() {}

    /** Null when the model has no template. A template that cannot be compiled refuses every chat, saying why. */
    static @Nullable PromptRenderer of(ModelFiles files, Tokenizer tokenizer) {
        TemplateSource source = files.templates();
        if (source.chat() == null) {
            return null;
        }
        String bos = tokenizer.bosId() < 0 ? null : text(tokenizer, tokenizer.bosId());
        String eos = tokenizer.eosIds().length == 0
                ? null
                : text(tokenizer, tokenizer.eosIds()[0]);
        try {
            ChatTemplate chat = ChatTemplate.compile(source.chat(), bos, eos);
            ChatTemplate tools = source.tools() == null ? chat : ChatTemplate.compile(source.tools(), bos, eos);
            return (input, createdMs) -> render(input.getToolsJson().isEmpty() ? chat : tools, input, createdMs);
        } catch (TemplateException e) {
            LOG.warn("the chat template of {} cannot be used, chats are refused: {}", files.path(), e.toString());
            return (input, createdMs) -> {
                throw refusal(e);
            };
        }
    }

    private static String text(Tokenizer tokenizer, int id) {
        return new String(tokenizer.bytes(id), StandardCharsets.UTF_8);
    }

    /** The request's own time in UTC, so that every worker writes the same date. */
    private static String render(ChatTemplate template, ChatInput input, long createdMs) {
        try {
            return template.render(new io.millrace.worker.text.jinja.ChatInput(
                    input.getMessagesJson(),
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

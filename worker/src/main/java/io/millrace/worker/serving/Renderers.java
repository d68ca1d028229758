package io.millrace.worker.serving;

import io.millrace.worker.text.Tokenizer;
import io.millrace.worker.text.jinja.TemplateException;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
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
        if (source.named().isEmpty()) {
            return null;
        }
        Map<String, String> tokens = tokens(source, tokenizer);
        try {
            PromptRenderer chat = renderer(source.chat(), tokens);
            PromptRenderer tools = source.tools() == null ? chat : renderer(source.tools(), tokens);
            return (input, createdMs) -> {
                PromptRenderer template = input.getToolsJson().isEmpty() ? chat : tools;
                if (template == null) {
                    throw new Refusal(
                            400,
                            "no_chat_template",
                            "messages",
                            "The model's chat templates are named "
                                    + String.join(", ", source.named().keySet())
                                    + "; none is the default one. Use /v1/completions with a prompt.");
                }
                return template.render(input, createdMs);
            };
        } catch (TemplateException e) {
            LOG.warn("the chat template of {} cannot be used, chats are refused: {}", files.path(), e.toString());
            return (input, createdMs) -> {
                throw refusal(e);
            };
        }
    }

    private static @Nullable PromptRenderer renderer(@Nullable String template, Map<String, String> tokens) {
        return template == null ? null : new TemplateRenderer(template, tokens);
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

    static Refusal refusal(TemplateException e) {
        return new Refusal(
                400, "chat_template_error", "messages", "The chat template refuses the messages: " + e.getMessage());
    }
}

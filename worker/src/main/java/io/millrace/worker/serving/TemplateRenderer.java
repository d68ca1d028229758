package io.millrace.worker.serving;

import io.millrace.shared.output.ToolFormat;
import io.millrace.shared.proto.ChatInput;
import io.millrace.worker.text.jinja.ChatTemplate;
import io.millrace.worker.text.jinja.TemplateException;
import java.time.Instant;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.util.Map;

/** Renders chats with one template, tools included: in the template's own way where it has one, otherwise as text. Thread-safe. */
final class TemplateRenderer implements PromptRenderer {

    private final ChatTemplate template;
    private final TemplateForm form;
    private final TemplateTraits traits;

    /** @throws TemplateException when it cannot be compiled */
    TemplateRenderer(String source, Map<String, String> tokens) {
        this.template = ChatTemplate.compile(source, tokens);
        this.form = TemplateForm.of(template, source);
        this.traits = TemplateTraits.of(template);
    }

    @Override
    public String render(ChatInput input, long createdMs) {
        String tools = input.getToolsJson();
        String messages = input.getMessagesJson();
        if (tools.isEmpty() && !ToolMessages.needed(messages)) {
            return render(messages, "", input, createdMs);
        }
        ToolFormat format = ToolFormat.of(input.getToolUse().getFormat());
        boolean own = tools.isEmpty() || traits.tools() && format != ToolFormat.GENERIC;
        TemplateTraits.Calls calls = traits.calls();
        if (own && calls != null) {
            return render(ToolMessages.forTemplate(messages, calls, traits.several(), format), tools, input, createdMs);
        }
        String instructions = own ? "" : tools;
        String text =
                ToolMessages.asText(messages, instructions, input.getToolUse().getSingle(), traits.system());
        return render(text, own ? tools : "", input, createdMs);
    }

    /** The request's own time in UTC, so that every worker writes the same date. */
    private String render(String messages, String tools, ChatInput input, long createdMs) {
        try {
            return template.render(new io.millrace.worker.text.jinja.ChatInput(
                    form.adapt(messages),
                    tools.isEmpty() ? null : tools,
                    input.getTemplateKwargsJson().isEmpty() ? null : input.getTemplateKwargsJson(),
                    input.getAddGenerationPrompt(),
                    input.getContinueFinalMessage(),
                    LocalDateTime.ofInstant(Instant.ofEpochMilli(createdMs), ZoneOffset.UTC)));
        } catch (TemplateException e) {
            throw Renderers.refusal(e);
        }
    }
}

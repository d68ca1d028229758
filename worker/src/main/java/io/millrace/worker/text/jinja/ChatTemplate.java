package io.millrace.worker.text.jinja;

import io.millrace.worker.text.Utf16;
import io.millrace.worker.text.jinja.Values.None;
import java.time.LocalDateTime;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.DeserializationFeature;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/**
 * A compiled chat template: Jinja as Hugging Face transformers sets it up (immutable sandbox, {@code trim_blocks},
 * {@code lstrip_blocks}, {@code tojson}, {@code raise_exception}, {@code strftime_now}). Renders within {@link TemplateLimits}.
 * Thread-safe.
 */
public final class ChatTemplate {

    private static final String CONTINUE_MARK = "CONTINUE_FINAL_MESSAGE_TAG ";

    private final JsonMapper mapper = JsonMapper.builder()
            .enable(DeserializationFeature.USE_BIG_INTEGER_FOR_INTS)
            .build();
    private final List<Stmt> body;
    private final Map<String, String> tokens;
    private final TemplateLimits limits;

    private ChatTemplate(List<Stmt> body, Map<String, String> tokens, TemplateLimits limits) {
        this.body = body;
        this.tokens = Map.copyOf(tokens);
        this.limits = limits;
    }

    /**
     * @param tokens texts of special tokens by the names of their variables, such as {@code bos_token}; the others are undefined
     * @throws TemplateException of kind SYNTAX
     */
    public static ChatTemplate compile(String source, Map<String, String> tokens) {
        try {
            return new ChatTemplate(Parser.parse(source), tokens, TemplateLimits.DEFAULT);
        } catch (StackOverflowError e) {
            throw tooDeep();
        }
    }

    /**
     * The prompt.
     *
     * @throws TemplateException the template refuses the conversation, cannot render it or exceeds a limit
     */
    public String render(ChatInput input) {
        List<Object> messages = messages(input.messages());
        if (input.continueFinalMessage()) {
            markFinalMessage(messages);
        }
        Map<String, Object> variables = new LinkedHashMap<>();
        variables.put("messages", messages);
        variables.put("tools", input.tools() == null ? None.NONE : Json.read(parse("tools", input.tools())));
        variables.put("documents", None.NONE);
        variables.put("add_generation_prompt", input.addGenerationPrompt());
        variables.putAll(tokens);
        if (input.variables() != null) {
            if (!(Json.read(parse("variables", input.variables())) instanceof Map<?, ?> more)) {
                throw new TemplateException(
                        TemplateException.Kind.INPUT, "The template's variables must be a JSON object.");
            }
            more.forEach((name, value) -> variables.put((String) name, value));
        }
        String text = render(variables, input.now());
        return input.continueFinalMessage() ? cutAtMark(text) : text;
    }

    /** The text for variables that are values of {@link Values}. */
    String render(Map<String, Object> variables, LocalDateTime now) {
        Scope globals = new Scope(null);
        Globals.define(globals, now);
        Scope scope = new Scope(globals);
        variables.forEach(scope::set);
        try {
            return Utf16.wellFormed(new Renderer(new Budget(limits)).render(body, scope));
        } catch (StackOverflowError e) {
            throw tooDeep();
        }
    }

    private static TemplateException tooDeep() {
        return new TemplateException(
                TemplateException.Kind.LIMIT, "The chat template or its data is nested too deeply for the stack.");
    }

    private JsonNode parse(String what, String json) {
        try {
            return mapper.readTree(json);
        } catch (JacksonException e) {
            throw new TemplateException(
                    TemplateException.Kind.INPUT, "The template's " + what + " are no JSON: " + e.getOriginalMessage());
        }
    }

    private List<Object> messages(String json) {
        JsonNode root = parse("messages", json);
        if (!root.isArray()) {
            throw new TemplateException(TemplateException.Kind.INPUT, "The messages must be a JSON array.");
        }
        List<Object> messages = new ArrayList<>();
        for (JsonNode message : root) {
            messages.add(withThinking(Json.read(message)));
        }
        return messages;
    }

    /** Reasoning goes by three names; as in transformers, a message that has one gets the two that templates look for. */
    private static Object withThinking(Object message) {
        if (!(message instanceof Map<?, ?> map)) {
            return message;
        }
        Object reasoning = null;
        for (String name : List.of("reasoning_content", "thinking", "reasoning")) {
            if (reasoning == null && map.get(name) != null && map.get(name) != None.NONE) {
                reasoning = map.get(name);
            }
        }
        if (reasoning == null) {
            return message;
        }
        Map<Object, Object> both = new LinkedHashMap<>();
        if (!map.containsKey("thinking")) {
            both.put("thinking", reasoning);
        }
        both.putAll(map);
        both.put("thinking", reasoning);
        both.put("reasoning_content", reasoning);
        return both;
    }

    private static void markFinalMessage(List<Object> messages) {
        if (messages.isEmpty() || !(messages.getLast() instanceof Map<?, ?> last)) {
            throw cannotContinue("there is no final message");
        }
        Map<Object, Object> marked = new LinkedHashMap<>(last);
        Object content = last.get("content");
        if (content instanceof String text) {
            marked.put("content", text + CONTINUE_MARK);
        } else if (content instanceof List<?> parts) {
            marked.put("content", markLastText(parts));
        } else {
            throw cannotContinue("the final message has no text");
        }
        messages.set(messages.size() - 1, marked);
    }

    private static List<Object> markLastText(List<?> parts) {
        List<Object> marked = new ArrayList<>(parts);
        for (int i = marked.size() - 1; i >= 0; i--) {
            if (marked.get(i) instanceof Map<?, ?> part && part.get("text") instanceof String text) {
                Map<Object, Object> copy = new LinkedHashMap<>(part);
                copy.put("text", text + CONTINUE_MARK);
                marked.set(i, copy);
                return marked;
            }
        }
        throw cannotContinue("the final message has no text part");
    }

    private static String cutAtMark(String text) {
        String bare = CONTINUE_MARK.strip();
        int at = text.lastIndexOf(bare);
        if (at < 0) {
            throw cannotContinue("the template does not show it as it is");
        }
        boolean spaceSurvived = text.startsWith(CONTINUE_MARK, at);
        return spaceSurvived ? text.substring(0, at) : PyString.rstrip(text.substring(0, at));
    }

    private static TemplateException cannotContinue(String why) {
        return new TemplateException(
                TemplateException.Kind.CONTINUE, "The final message cannot be continued: " + why + ".");
    }
}

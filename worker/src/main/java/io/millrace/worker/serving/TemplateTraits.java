package io.millrace.worker.serving;

import io.millrace.worker.text.jinja.ChatInput;
import io.millrace.worker.text.jinja.ChatTemplate;
import io.millrace.worker.text.jinja.TemplateException;
import java.time.LocalDateTime;
import org.jspecify.annotations.Nullable;

/**
 * What a chat template can do with tools, found out by rendering: templates agree on little.
 *
 * @param tools it shows tools
 * @param calls how it wants the calls of an assistant; null: it does not show them
 * @param several it takes more than one call in a message
 * @param system it takes messages of the system
 */
record TemplateTraits(boolean tools, @Nullable Calls calls, boolean several, boolean system) {

    /** How calls are written into messages. */
    enum Calls {
        OBJECT_WITH_TEXT(true, "\"\""),
        OBJECT_WITHOUT(true, "null"),
        STRING_WITH_TEXT(false, "\"\""),
        STRING_WITHOUT(false, "null");

        private final boolean object;
        private final String content;

        Calls(boolean object, String content) {
            this.object = object;
            this.content = content;
        }

        /** Arguments as an object rather than as JSON text. */
        boolean object() {
            return object;
        }

        /** JSON of the content of an assistant who only calls. */
        String content() {
            return content;
        }
    }

    private static final LocalDateTime NOW = LocalDateTime.of(2025, 1, 2, 3, 4, 5);
    private static final String ID = "call12345";
    private static final String OTHER_ID = "call67890";
    private static final String TOOL = "probe_tool_1";
    private static final String CALLED = "probe_called_2";
    private static final String KEY = "probe_key_3";
    private static final String VALUE = "probe_value_4";
    private static final String RESULT = "probe_result_5";
    private static final String SYSTEM = "probe_system_6";

    static TemplateTraits of(ChatTemplate template) {
        String rendered = render(template, "[" + user() + "]", true);
        Calls found = null;
        for (Calls way : Calls.values()) {
            if (found == null && shows(render(template, conversation(way, ID), true), way)) {
                found = way;
            }
        }
        boolean several = found != null && shows(render(template, conversation(found, ID, OTHER_ID), true), found);
        String system =
                render(template, "[{\"role\":\"system\",\"content\":\"" + SYSTEM + "\"}," + user() + "]", false);
        return new TemplateTraits(rendered.contains(TOOL), found, several, system.contains(SYSTEM));
    }

    private static boolean shows(String text, Calls way) {
        boolean all = text.contains(CALLED) && text.contains(VALUE) && text.contains(RESULT);
        boolean quotedTwice = text.contains("\\\"" + KEY);
        return all && !quotedTwice && !(way.content().equals("null") && text.contains("None"));
    }

    private static String user() {
        return "{\"role\":\"user\",\"content\":\"hello\"}";
    }

    /** A user's message, calls of those ids, and their results. */
    private static String conversation(Calls way, String... ids) {
        String arguments = "{\"" + KEY + "\":\"" + VALUE + "\"}";
        String value = way.object() ? arguments : "\"" + arguments.replace("\"", "\\\"") + "\"";
        StringBuilder calls = new StringBuilder();
        StringBuilder results = new StringBuilder();
        for (String id : ids) {
            calls.append(calls.isEmpty() ? "" : ",")
                    .append("{\"id\":\"%s\",\"type\":\"function\",\"function\":{\"name\":\"%s\",\"arguments\":%s}}"
                            .formatted(id, CALLED, value));
            results.append(",{\"role\":\"tool\",\"tool_call_id\":\"%s\",\"name\":\"%s\",\"content\":\"%s\"}"
                    .formatted(id, CALLED, RESULT));
        }
        return "[" + user() + ",{\"role\":\"assistant\",\"content\":" + way.content() + ",\"tool_calls\":[" + calls
                + "]}" + results + "]";
    }

    /** Empty where the template refuses. */
    private static String render(ChatTemplate template, String messages, boolean withTool) {
        String tool = "[{\"type\":\"function\",\"function\":{\"name\":\"" + TOOL
                + "\",\"description\":\"d\",\"parameters\":{\"type\":\"object\",\"properties\":{\"" + KEY
                + "\":{\"type\":\"string\",\"description\":\"d\"}},\"required\":[\"" + KEY + "\"]}}}]";
        try {
            return template.render(new ChatInput(messages, withTool ? tool : null, null, true, false, NOW));
        } catch (TemplateException e) {
            return "";
        }
    }
}

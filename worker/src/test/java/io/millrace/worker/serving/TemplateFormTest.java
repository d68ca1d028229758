package io.millrace.worker.serving;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.worker.text.jinja.ChatTemplate;
import java.util.Map;
import org.junit.jupiter.api.Test;

class TemplateFormTest {

    private static final String STRINGS =
            "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] + '.' }}{% endfor %}";
    private static final String PRINTED = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}";
    private static final String PARTS =
            "{% for m in messages %}<{{ m.role }}>{% for c in m.content %}{% if c.type == 'text' %}{{ c.text }}{% endif %}{% endfor %}{% endfor %}";
    private static final String BOTH = "{% for m in messages %}<{{ m.role }}>"
            + "{% if m.content is string %}{{ m.content }}{% else %}{% for c in m.content %}{{ c['text'] }}{% endfor %}{% endif %}{% endfor %}";

    private static TemplateForm form(String source) {
        return TemplateForm.of(ChatTemplate.compile(source, Map.of()), source);
    }

    @Test
    void the_form_is_found_by_rendering() {
        assertThat(form(STRINGS)).isEqualTo(new TemplateForm(true, false, false));
        // It would print the list as Python does.
        assertThat(form(PRINTED)).isEqualTo(new TemplateForm(true, false, false));
        assertThat(form("{{ messages[0].content | tojson }}").parts()).isFalse();
        assertThat(form(PARTS)).isEqualTo(new TemplateForm(false, true, false));
        assertThat(form(BOTH)).isEqualTo(new TemplateForm(true, true, false));
        assertThat(form("{{ raise_exception('never') }}")).isEqualTo(new TemplateForm(false, false, false));
        assertThat(form("{% if messages[0].role == 'developer' %}{% endif %}").developer())
                .isTrue();
    }

    @Test
    void parts_become_one_text_where_the_template_takes_only_strings() {
        String parts =
                "[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"refusal\",\"refusal\":\"b\"}],\"n\":1.50}]";
        assertThat(form(STRINGS).adapt(parts)).isEqualTo("[{\"role\":\"user\",\"content\":\"a\\nb\",\"n\":1.50}]");
        assertThat(form(BOTH).adapt(parts))
                .isEqualTo(
                        "[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}],\"n\":1.50}]");
        assertThat(form(PARTS).adapt("[{\"role\":\"user\",\"content\":\"a\"}]"))
                .isEqualTo("[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"}]}]");
    }

    @Test
    void a_developer_is_the_system_unless_the_template_knows_him() {
        String messages = "[{\"content\":\"x\",\"role\":\"developer\"}]";
        assertThat(form(STRINGS).adapt(messages)).isEqualTo("[{\"content\":\"x\",\"role\":\"system\"}]");
        assertThat(form(STRINGS + "{# developer #}").adapt(messages)).isEqualTo(messages);
    }

    @Test
    void what_has_the_form_already_stays_as_the_client_wrote_it() {
        String messages = "[ {\"role\" : \"user\", \"content\":\"\\u00e9\", \"x\": 1e2} ]";
        assertThat(form(STRINGS).adapt(messages)).isSameAs(messages);
        assertThat(form(STRINGS).adapt("no JSON")).isEqualTo("no JSON");
        assertThat(form(STRINGS).adapt("{}")).isEqualTo("{}");
    }
}

package io.millrace.worker.text.jinja;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.millrace.worker.text.jinja.TemplateException.Kind;
import java.time.Duration;
import java.time.LocalDateTime;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Assertions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class ChatTemplateTest {

    private static final LocalDateTime NOW = LocalDateTime.of(2026, 1, 2, 3, 4, 5);

    private static String render(String template, String messages) {
        return ChatTemplate.compile(template, Map.of("bos_token", "<s>")).render(ChatInput.of(messages, NOW));
    }

    private static void assertFails(String template, Kind kind) {
        assertThatThrownBy(() ->
                        Assertions.assertTimeoutPreemptively(Duration.ofSeconds(30), () -> render(template, "[]")))
                .as(template)
                .isInstanceOf(TemplateException.class)
                .hasFieldOrPropertyWithValue("kind", kind);
    }

    @Test
    void userContentIsDataAndNeverEvaluated() {
        String content = "{{ 7*7 }} {% for x in y %} {# c #} <|im_end|> \\u0041";
        String json = "[{\"role\": \"user\", \"content\": \"" + content.replace("\\", "\\\\") + "\"}]";
        assertThat(render("{{ messages[0].content }}", json)).isEqualTo(content);
        assertThat(render("{{ messages[0].content | trim | upper | lower | replace('a', 'a') ~ '' }}", json))
                .isEqualTo(content.toLowerCase(java.util.Locale.ROOT));
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
                "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
                "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
                "{{ 'a' * 100000000 }}",
                "{{ 'ab' * 99999999999999999 }}",
                "{{ [1] * 100000000 }}",
                "{{ [[1] * 10000000] * 2 }}{% for i in range(100) %}{% set x = [1] * 10000000 %}{% endfor %}",
                "{% set ns = namespace(s='aaaaaaaa') %}{% for i in range(64) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
                "{% set ns = namespace(s='aaaaaaaa') %}{% for i in range(64) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
                "{% set ns = namespace(l=[1]) %}{% for i in range(64) %}{% set ns.l = ns.l + ns.l %}{% endfor %}",
                "{% set ns = namespace(s='aaaa') %}{% for i in range(64) %}{% set ns.s = ns.s|replace('a', 'aa') %}{% endfor %}",
                "{{ '%999999999d' % 1 }}",
                "{{ '{:>999999999}'.format(1) }}",
                "{{ 'a'.ljust(999999999) }}",
                "{{ 'a'|center(999999999) }}",
                "{{ [1]|batch(999999999, 0)|list }}",
                "{% set s = 'a' * 9000000 %}{% for i in range(100000) %}{{ 'b' in s }}{% endfor %}",
                "{% set s = 'a' * 9000000 %}{% for i in range(100000) %}{{ s|length }}{% endfor %}",
                "{% set s = 'a' * 9000000 %}{% for i in range(100000) %}{{ s.find('b') }}{% endfor %}",
                "{% set s = 'a' * 9000000 %}{{ s.join(range(1000)|map('string')) }}",
                "{% set a = [1] * 100000 %}{% set b = [a] * 100000 %}{{ b }}",
                "{% set a = [1] * 100000 %}{% set b = [a] * 100000 %}{{ b|tojson }}",
                "{% set a = [1] * 100000 %}{{ [a] * 100000 == [[1] * 100000] * 100000 }}",
                "{% for i in range(100000) %}{{ 1 in range(2, 100000) }}{% endfor %}",
                "{% for i in range(100000) %}{{ 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                        + "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                        + "aaaaaaaaaaaaaaaaaaa' }}{% endfor %}",
                "{% for n in [1] recursive %}{{ loop([1]) }}{% endfor %}"
            })
    void noTemplateHangsOrExhaustsTheMemory(String template) {
        assertFails(template, Kind.LIMIT);
    }

    @Test
    void hugeNumbersAreRefused() {
        assertFails("{{ 2 ** 100000000 }}", Kind.RUNTIME);
        assertFails(
                "{% set ns = namespace(n=9) %}{% for i in range(99) %}{% set ns.n = ns.n * ns.n %}{% endfor %}",
                Kind.RUNTIME);
        assertFails("{{ range(99999999999) }}", Kind.RUNTIME);
        assertThat(render("{{ ('9' * 100000)|int }} {{ 2 ** 200 }}", "[]"))
                .isEqualTo("0 1606938044258990275541962092341162602522202993782792835301376");
    }

    @Test
    void deepNestingIsAnErrorAndNoStackOverflow() {
        assertFails("{{ " + "(".repeat(50_000) + "1" + ")".repeat(50_000) + " }}", Kind.SYNTAX);
        assertFails("{{ " + "[".repeat(50_000) + " }}", Kind.SYNTAX);
        assertFails("{{ " + "not ".repeat(50_000) + "1 }}", Kind.SYNTAX);
        assertFails("{{ " + "-".repeat(50_000) + "1 }}", Kind.SYNTAX);
        assertFails("{% if 1 %}".repeat(50_000), Kind.SYNTAX);
        assertThatThrownBy(() -> render("{{ messages | tojson }}", "[".repeat(100_000) + "]".repeat(100_000)))
                .hasFieldOrPropertyWithValue("kind", Kind.INPUT);
        assertThat(render("{{ 1" + " + 1".repeat(200) + " }}", "[]")).isEqualTo("201");
        assertFails("{{ 1" + " + 1".repeat(100_000) + " }}", Kind.LIMIT);
    }

    @Test
    void theSandboxBlocksChangesAndInternals() {
        assertFails("{{ messages.append(1) }}", Kind.SECURITY);
        assertFails("{{ {}.update({'a': 1}) }}", Kind.SECURITY);
        assertFails("{{ ''.__class__.__mro__ }}", Kind.SECURITY);
        assertFails("{{ namespace(_a=1) }}", Kind.SECURITY);
        assertFails("{{ '{0.__class__}'.format('') }}", Kind.SECURITY);
    }

    @Test
    void aRefusalCarriesTheTemplatesOwnWords() {
        assertThatThrownBy(() -> render("{{ raise_exception('roles must alternate') }}", "[]"))
                .isInstanceOf(TemplateException.class)
                .hasMessage("roles must alternate")
                .hasFieldOrPropertyWithValue("code", "MR-TEMPLATE-001");
    }

    @Test
    void jsonKeepsOrderSizeAndKindOfNumbers() {
        assertThat(render(
                        "{{ messages[0] | tojson }}",
                        "[{\"z\": 1, \"a\": 1.0, \"big\": 123456789012345678901234567890, \"n\": null}]"))
                .isEqualTo("{\"z\": 1, \"a\": 1.0, \"big\": 123456789012345678901234567890, \"n\": null}");
    }

    @Test
    void loneSurrogatesBecomeReplacementCharacters() {
        assertThat(render("{{ messages[0].content }}", "[{\"content\": \"a\\ud83d\"}, {\"content\": \"\\udc4d\"}]"))
                .isEqualTo("a\uFFFD");
        assertThat(render("{{ '\\ud83d' ~ messages[0] }}", "[\"\\udc4d\"]")).isEqualTo("\uFFFD\uFFFD");
    }

    @Test
    void inputThatIsNoJsonIsAnErrorOfTheInput() {
        for (String messages : List.of("", "{}", "[", "[1,]", "nope")) {
            assertThatThrownBy(() -> render("x", messages)).hasFieldOrPropertyWithValue("kind", Kind.INPUT);
        }
        assertThatThrownBy(() ->
                        ChatTemplate.compile("x", Map.of()).render(new ChatInput("[]", null, "[]", true, false, NOW)))
                .hasFieldOrPropertyWithValue("kind", Kind.INPUT);
    }

    @Test
    void variablesToolsAndTheClockReachTheTemplate() {
        ChatTemplate template = ChatTemplate.compile(
                "{{ bos_token }}{{ eos_token is defined }} {{ tools[0].x }} {{ enable_thinking }} {{ documents }}"
                        + " {{ add_generation_prompt }} {{ strftime_now('%d %b %Y') }}",
                Map.of("bos_token", "<s>"));
        assertThat(template.render(
                        new ChatInput("[]", "[{\"x\": 5}]", "{\"enable_thinking\": false}", false, false, NOW)))
                .isEqualTo("<s>False 5 False None False 02 Jan 2026");
    }

    @Test
    void theFinalMessageIsContinuedWhereItIsShown() {
        String template = "{% for m in messages %}[{{ m.content }}]{% endfor %}";
        assertThat(continued(template, "[{\"content\": \"a\"}, {\"content\": \"b c \"}]"))
                .isEqualTo("[a][b c ");
        assertThatThrownBy(() -> continued("nothing", "[{\"content\": \"a\"}]"))
                .hasFieldOrPropertyWithValue("kind", Kind.CONTINUE);
        assertThatThrownBy(() -> continued(template, "[]")).hasFieldOrPropertyWithValue("kind", Kind.CONTINUE);
        assertThatThrownBy(() -> continued(template, "[{\"content\": null}]"))
                .hasFieldOrPropertyWithValue("kind", Kind.CONTINUE);
    }

    private static @Nullable String continued(String template, String messages) {
        return ChatTemplate.compile(template, Map.of()).render(new ChatInput(messages, null, null, false, true, NOW));
    }
}

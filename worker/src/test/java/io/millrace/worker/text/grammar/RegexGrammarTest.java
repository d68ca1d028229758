package io.millrace.worker.text.grammar;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import io.millrace.worker.text.grammar.automaton.GrammarException;
import io.millrace.worker.text.grammar.automaton.GrammarException.Kind;
import io.millrace.worker.text.grammar.machine.Grammar;
import java.util.List;
import java.util.Random;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class RegexGrammarTest {

    private static Grammar regex(String regex) {
        return GrammarCompiler.grammar(new GrammarSpec.Regex(regex));
    }

    private static Kind refused(String regex) {
        return catchThrowableOfType(GrammarException.class, () -> regex(regex)).kind();
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "abc",
                "a|b|",
                "(ab)*c+",
                "[a-c]{2,4}x?",
                "[^a-c\\n]{1,3}",
                "\\d{3}-\\d{4}",
                "(?:a|bc){2}",
                "(?<year>[0-9]{4})",
                "a{0}b",
                "a*?b+?",
                "\\p{Lu}\\p{Ll}{2}",
                "é[à-ü]",
                "\\u00e9\\x41\\t",
                "^ab$",
                "^a|b$",
                "[\\w.-]+@[a-z]+\\.com",
                "(a|b)*abb",
                "\\uD83D\\uDE00?x"
            })
    void texts_are_those_that_match_as_a_whole(String regex) {
        Grammar grammar = regex(regex);
        Pattern java = Pattern.compile(regex);
        Random random = new Random(5);
        int found = 0;
        for (int i = 0; i < 50; i++) {
            String text = Texts.walk(grammar, random, 12, 400);
            if (text != null) {
                found++;
                assertThat(java.matcher(text).matches()).as(text).isTrue();
                String other = mutated(text, random);
                assertThat(Texts.accepts(grammar, other))
                        .as(other)
                        .isEqualTo(java.matcher(other).matches());
            }
        }
        assertThat(found).isGreaterThan(20);
    }

    private static String mutated(String text, Random random) {
        int at = random.nextInt(text.length() + 1);
        String letters = "abcxé0-\n";
        char letter = letters.charAt(random.nextInt(letters.length()));
        return text.substring(0, at)
                + letter
                + text.substring(random.nextBoolean() ? at : Math.min(at + 1, text.length()));
    }

    @Test
    void anchors_hold_where_they_stand() {
        assertThat(refused("x^a")).isEqualTo(Kind.UNSATISFIABLE);
        assertThat(Texts.accepts(regex("(^a|b)c"), "bc")).isTrue();
        assertThat(Texts.accepts(regex("a$|a$b|c"), "ab")).isFalse();
        assertThat(Texts.accepts(regex("^$|a"), "")).isTrue();
    }

    @Test
    void only_well_formed_utf8_is_text() {
        Grammar any = regex(".*");
        assertThat(Texts.accepts(any, "grüß 😀")).isTrue();
        for (byte[] bad : List.of(
                new byte[] {(byte) 0xC0, (byte) 0x80}, new byte[] {(byte) 0xED, (byte) 0xA0}, new byte[] {(byte) 0xFF
                })) {
            assertThat(Grammar.advance(any.start(), bad)).isNull();
        }
    }

    @Test
    void what_is_not_regular_is_refused() {
        for (String regex :
                List.of("(a)\\1", "(?=a)b", "(?<!a)b", "a\\b", "(?i)a", "a++", "[[:alpha:]]", "\\p{Nope}", "\\Aa")) {
            assertThat(refused(regex)).as(regex).isEqualTo(Kind.UNSUPPORTED);
        }
    }

    @Test
    void what_is_malformed_is_refused() {
        for (String regex : List.of(
                "(a", "a)", "[a", "*a", "a**", "a{2,1}", "a{", "\\", "[z-a]", "\\u12", "\\y", "(?P<n", "a|*",
                "\ud800")) {
            assertThat(refused(regex)).as(regex).isEqualTo(Kind.INVALID);
        }
    }

    @Test
    void what_explodes_is_refused_within_bounds() {
        assertThat(refused("(a|b)*a(a|b){40}")).isEqualTo(Kind.TOO_LARGE);
        assertThat(refused("((((a{1,99}){1,99}){1,99}){1,99}){1,99}")).isEqualTo(Kind.TOO_LARGE);
        assertThat(refused("(".repeat(5000) + ")".repeat(5000))).isEqualTo(Kind.TOO_LARGE);
        assertThat(refused("a{100001}")).isEqualTo(Kind.TOO_LARGE);
        assertThat(refused("(.*a){20}(.*b){20}(.*c){20}(.*d){20}[^e]{2000}.*f{500}(\\p{L}|\\p{N}|x){9000}"))
                .isEqualTo(Kind.TOO_LARGE);
        assertThat(refused("[^\\s\\S]")).isEqualTo(Kind.UNSATISFIABLE);
    }

    @Test
    void a_choice_is_one_of_its_texts() {
        GrammarSpec choice = new GrammarSpec.Choice(List.of("ja", "jawohl", "nein", "grün", "a.b"));
        for (String text : List.of("ja", "jawohl", "nein", "grün", "a.b")) {
            assertThat(Texts.accepts(choice, text)).isTrue();
        }
        for (String text : List.of("", "j", "jaw", "jaja", "axb", "gru")) {
            assertThat(Texts.accepts(choice, text)).as(text).isFalse();
        }
    }
}

package io.millrace.worker.text.grammar;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import io.millrace.worker.text.grammar.automaton.GrammarException;
import io.millrace.worker.text.grammar.automaton.GrammarException.Kind;
import io.millrace.worker.text.grammar.machine.Grammar;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import tools.jackson.databind.json.JsonMapper;

class EbnfGrammarTest {

    private static final String JSON = """
            # any JSON
            root   ::= value
            value  ::= object | array | string | number | ("true" | "false" | "null") ws

            object ::=
              "{" ws (
                        string ":" ws value
                ("," ws string ":" ws value)*
              )? "}" ws

            array  ::= "[" ws ( value ("," ws value)* )? "]" ws
            string ::= "\\"" ( [^"\\\\\\x7F\\x00-\\x1F] | "\\\\" (["\\\\bfnrt] | "u" [0-9a-fA-F]{4}) )* "\\"" ws
            number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9]{1,2})? ws
            ws ::= | " " | "\\n" [ \\t]{0,20}
            """;

    private static Grammar ebnf(String text) {
        return GrammarCompiler.grammar(new GrammarSpec.Ebnf(text));
    }

    private static GrammarException refused(String text) {
        return catchThrowableOfType(GrammarException.class, () -> ebnf(text));
    }

    @Test
    void gbnf_of_json_gives_json() {
        Grammar grammar = ebnf(JSON);
        JsonMapper mapper = new JsonMapper();
        Random random = new Random(3);
        int found = 0;
        for (int i = 0; i < 100; i++) {
            String text = Texts.walk(grammar, random, 60, 2000);
            if (text != null) {
                found++;
                mapper.readTree(text);
            }
        }
        assertThat(found).isGreaterThan(40);
        assertThat(Texts.accepts(grammar, "{\"a\": [1, {\"b\": null}], \"c\":\"\\u00e9\"}"))
                .isTrue();
        assertThat(Texts.accepts(grammar, "{\"a\": [1, {\"b\": null}}")).isFalse();
    }

    @Test
    void gbnf_has_all_its_notation() {
        Grammar g = ebnf("""
                root ::= (a | b-c)+ "!"{2} x{0,1} y{1,} [^a-z\\]-] .  # comment
                a    ::= "a" |
                         "\\x41\\u00e9"
                b-c  ::= [bB\\-] c?
                c    ::= "c" "\\n"*
                x    ::= "x"
                y    ::= "y"
                """);
        assertThat(Texts.accepts(g, "aAéb-cB!!xyyy😀z")).isTrue();
        assertThat(Texts.accepts(g, "a!!yÄ ")).isTrue();
        assertThat(Texts.accepts(g, "a!yÄ ")).isFalse();
        assertThat(Texts.accepts(g, "a!!y] ")).isFalse();
        assertThat(Texts.accepts(g, "a!!xxyA ")).isFalse();
    }

    @Test
    void recursion_nests_as_deep_as_the_text() {
        Grammar g = ebnf("root ::= \"(\" root* \")\" | \"<\" root \">\" | \"x\"");
        assertThat(Texts.accepts(g, "(".repeat(500) + "x" + ")".repeat(500))).isTrue();
        assertThat(Texts.accepts(g, "((x<(xx)>)())")).isTrue();
        assertThat(Texts.accepts(g, "((x<(xx))>())")).isFalse();
    }

    @Test
    void an_ambiguous_grammar_is_followed_in_all_its_ways() {
        Grammar g = ebnf("""
                root ::= s
                s ::= "a" s "b" | "a" s "c" | "a" "a" s "d" | "x"
                """);
        assertThat(Texts.accepts(g, "aaaxbcb")).isTrue();
        assertThat(Texts.accepts(g, "aaaxdb")).isTrue();
        assertThat(Texts.accepts(g, "aaaxdd")).isFalse();
    }

    @Test
    void lark_grammars_are_read() {
        Grammar g = ebnf("""
                // a calculation
                ?start: sum
                ?sum: product (("+"|"-") product)*      -> add
                product: atom ( "*" atom )~0..3
                     | "neg"i atom
                atom: NUMBER | "(" sum ")" | CNAME [ "!" ]
                LETTERS.2: "a".."f" /[x-z]+/
                %import common.NUMBER
                %import common (CNAME, WS)
                %ignore WS
                """);
        for (String text : List.of("1+2", " 1 + 2*x", "(a1! - 3.5e2)*2\n", "NEG 5")) {
            assertThat(Texts.accepts(g, text)).as(text).isTrue();
        }
        for (String text : List.of("1+", "1*2*3*4*5", "(1", "1 2")) {
            assertThat(Texts.accepts(g, text)).as(text).isFalse();
        }
    }

    @Test
    void what_is_wrong_is_named_by_its_line() {
        assertThat(refused("root ::= a\n").text()).contains("line 1", "'a'");
        assertThat(refused("root ::= \"a\n").text()).contains("line 1");
        assertThat(refused("a ::= \"a\"").text()).contains("root");
        assertThat(refused("start: a b\na: \"x\"\n").text()).contains("'b'");
        assertThat(refused("root ::= \"a\" )").kind()).isEqualTo(Kind.INVALID);
        assertThat(refused("root ::= \"a\"\nroot ::= \"b\"").kind()).isEqualTo(Kind.INVALID);
        assertThat(refused("root ::= \"a\"{3,1}").kind()).isEqualTo(Kind.INVALID);
        assertThat(refused("root ::= <think>").kind()).isEqualTo(Kind.UNSUPPORTED);
        assertThat(refused("start: _sep{a}\n").kind()).isNotNull();
        assertThat(refused("").kind()).isEqualTo(Kind.INVALID);
    }

    @Test
    void left_recursion_and_endless_rules_are_refused() {
        GrammarException left = refused("root ::= expr\nexpr ::= expr \"+\" [0-9] | [0-9]");
        assertThat(left.kind()).isEqualTo(Kind.UNSUPPORTED);
        assertThat(left.text()).contains("'expr'");
        assertThat(refused("root ::= a root | \"x\"\na ::= \"y\"*").kind()).isEqualTo(Kind.UNSUPPORTED);
        assertThat(refused("root ::= \"a\" root").kind()).isEqualTo(Kind.UNSATISFIABLE);
    }

    @Test
    void what_explodes_is_refused_within_bounds() {
        StringBuilder doubling = new StringBuilder("root ::= r30\nr0 ::= \"a\" | \"b\" root \"c\"\n");
        for (int i = 1; i <= 30; i++) {
            doubling.append("r" + i + " ::= r" + (i - 1) + " r" + (i - 1) + "\n");
        }
        // Compact as rules, however long its texts.
        assertThat(Texts.accepts(ebnf(doubling.toString()), "a")).isFalse();
        assertThat(refused("root ::= " + "(".repeat(3000) + "\"a\"" + ")".repeat(3000))
                        .kind())
                .isEqualTo(Kind.TOO_LARGE);
        assertThat(refused("root ::= (\"a\"{9999}){9999}").kind()).isEqualTo(Kind.TOO_LARGE);
        assertThat(refused("root ::= ((root? \"x\"){9999}){9999}").kind()).isEqualTo(Kind.TOO_LARGE);
    }
}

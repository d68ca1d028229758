package io.millrace.worker.text.grammar.ebnf;

import io.millrace.worker.text.grammar.automaton.CharSet;
import io.millrace.worker.text.grammar.automaton.GrammarException;
import io.millrace.worker.text.grammar.automaton.RegexParser;
import io.millrace.worker.text.grammar.automaton.Rx;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A subset of Lark's notation: {@code rule: …} and {@code TERMINAL: …}, literals (also {@code "…"i} and {@code "a".."z"}), regular
 * expressions between slashes, groups, {@code [optional]}, {@code |}, {@code * + ? ~n ~n..m}, {@code -> alias} (no meaning here),
 * {@code %ignore}, {@code %import common.X}. The grammar begins with the rule {@code start}. Templates, {@code %declare} and flags of
 * regular expressions other than {@code i} for literals are refused. As nothing is cut into tokens beforehand, all ways to read a text count.
 */
final class LarkParser {

    private static final Map<String, String> COMMON = Map.ofEntries(
            Map.entry("DIGIT", "[0-9]"),
            Map.entry("HEXDIGIT", "[0-9a-fA-F]"),
            Map.entry("INT", "[0-9]+"),
            Map.entry("SIGNED_INT", "[+-]?[0-9]+"),
            Map.entry("DECIMAL", "[0-9]+\\.[0-9]*|\\.[0-9]+"),
            Map.entry("FLOAT", "[0-9]+[eE][+-]?[0-9]+|([0-9]+\\.[0-9]*|\\.[0-9]+)([eE][+-]?[0-9]+)?"),
            Map.entry("NUMBER", "([0-9]+(\\.[0-9]*)?|\\.[0-9]+)([eE][+-]?[0-9]+)?"),
            Map.entry("SIGNED_NUMBER", "[+-]?([0-9]+(\\.[0-9]*)?|\\.[0-9]+)([eE][+-]?[0-9]+)?"),
            Map.entry("ESCAPED_STRING", "\"([^\"\\\\\\n]|\\\\.)*\""),
            Map.entry("LCASE_LETTER", "[a-z]"),
            Map.entry("UCASE_LETTER", "[A-Z]"),
            Map.entry("LETTER", "[a-zA-Z]"),
            Map.entry("WORD", "[a-zA-Z]+"),
            Map.entry("CNAME", "[_a-zA-Z][_a-zA-Z0-9]*"),
            Map.entry("WS_INLINE", "[ \\t]+"),
            Map.entry("WS", "[ \\t\\f\\r\\n]+"),
            Map.entry("CR", "\\r"),
            Map.entry("LF", "\\n"),
            Map.entry("NEWLINE", "(\\r?\\n)+"));

    private static final String IGNORED = "%ignore";

    private final Scanner in;
    private final Map<String, Expr> rules = new LinkedHashMap<>();
    private final List<Expr> ignored = new ArrayList<>();
    /** Within a rule (not a terminal), where what is ignored may follow each token. */
    private boolean inRule;

    private LarkParser(String text) {
        in = new Scanner(text);
    }

    static Rules parse(String text) {
        LarkParser parser = new LarkParser(text);
        parser.space();
        while (!parser.in.atEnd()) {
            parser.statement();
            parser.space();
        }
        if (!parser.rules.containsKey("start")) {
            throw GrammarException.invalid(
                    "it has no rule named 'start', where a Lark grammar begins (a GBNF grammar has ::=).");
        }
        Expr between = new Expr.Repeat(new Expr.Alt(List.copyOf(parser.ignored)), 0, -1);
        parser.rules.put(IGNORED, parser.ignored.isEmpty() ? new Expr.Seq(List.of()) : between);
        parser.rules.put("(start)", new Expr.Seq(List.of(new Expr.Call(IGNORED, 1), new Expr.Call("start", 1))));
        return new Rules(parser.rules, "(start)");
    }

    private void statement() {
        if (in.take("%import")) {
            importCommon();
            return;
        }
        if (in.take(IGNORED)) {
            inRule = false;
            ignored.add(alternatives());
            return;
        }
        if (in.looksAt("%")) {
            throw in.unsupported("a directive other than %ignore and %import");
        }
        if (!in.take("?")) {
            in.take("!");
        }
        String name = in.name("_");
        blanks();
        if (in.looksAt("{")) {
            throw in.unsupported("templates");
        }
        if (in.take(".")) {
            in.number();
            blanks();
        }
        if (name.isEmpty() || !in.take(":")) {
            throw in.invalid("has no rule (name: …) where one is wanted");
        }
        inRule = !isTerminal(name);
        if (rules.put(name, alternatives()) != null) {
            throw in.invalid("ends a second rule named '" + name + "'");
        }
    }

    private static boolean isTerminal(String name) {
        return name.equals(name.toUpperCase(java.util.Locale.ROOT));
    }

    private void importCommon() {
        blanks();
        String path = in.name("_.");
        List<String> names = new ArrayList<>();
        if (path.equals("common")) {
            blanks();
            if (!in.take("(")) {
                throw in.invalid("has an %import without names");
            }
            do {
                blanks();
                names.add(in.name("_"));
                blanks();
            } while (in.take(","));
            in.take(")");
        } else if (path.startsWith("common.")) {
            names.add(path.substring("common.".length()));
        } else {
            throw in.unsupported("an %import from elsewhere than 'common'");
        }
        blanks();
        String alias = in.take("->") ? alias() : "";
        for (String name : names) {
            String regex = COMMON.get(name);
            if (regex == null) {
                throw in.unsupported("%import common." + name);
            }
            rules.put(alias.isEmpty() ? name : alias, new Expr.Regular(RegexParser.parse(regex)));
        }
    }

    private String alias() {
        blanks();
        return in.name("_");
    }

    private Expr alternatives() {
        in.enter();
        List<Expr> options = new ArrayList<>();
        do {
            options.add(sequence());
        } while (bar());
        in.leave();
        return options.size() == 1 ? options.getFirst() : new Expr.Alt(List.copyOf(options));
    }

    /** A bar, also on the next line. */
    private boolean bar() {
        int position = in.position();
        space();
        if (in.take("|")) {
            return true;
        }
        in.back(position);
        return false;
    }

    private Expr sequence() {
        List<Expr> items = new ArrayList<>();
        blanks();
        while (!in.atEnd() && "|)]\n".indexOf(in.peek()) < 0) {
            if (in.take("->")) {
                alias();
            } else {
                items.add(quantified(item()));
            }
            blanks();
        }
        return items.size() == 1 ? items.getFirst() : new Expr.Seq(List.copyOf(items));
    }

    private Expr item() {
        int line = in.line();
        String name = in.name("_");
        if (!name.isEmpty()) {
            Expr call = new Expr.Call(name, line);
            return isTerminal(name) ? token(call) : call;
        }
        int c = in.next();
        return switch (c) {
            case '"' -> token(literal(in.quoted()));
            case '/' -> token(regex());
            case '(' -> closed(")");
            case '[' -> new Expr.Repeat(closed("]"), 0, 1);
            default -> throw in.invalid("has an unexpected '" + Character.toString(c) + "'");
        };
    }

    /** A token of a rule, and what is ignored behind it. */
    private Expr token(Expr token) {
        return inRule ? new Expr.Seq(List.of(token, new Expr.Call(IGNORED, in.line()))) : token;
    }

    private Expr closed(String bracket) {
        Expr inner = alternatives();
        space();
        if (!in.take(bracket)) {
            throw in.invalid("has a bracket that is not closed with '" + bracket + "'");
        }
        return inner;
    }

    private Expr literal(String text) {
        if (in.take("..")) {
            blanks();
            if (!in.take("\"")) {
                throw in.invalid("has '..' without a second character");
            }
            String last = in.quoted();
            if (text.codePointCount(0, text.length()) != 1
                    || last.codePointCount(0, last.length()) != 1
                    || last.codePointAt(0) < text.codePointAt(0)) {
                throw in.invalid("has a range that is not two characters in order");
            }
            return new Expr.Regular(Rx.range(text.codePointAt(0), last.codePointAt(0)));
        }
        if (!in.take("i")) {
            return new Expr.Regular(Rx.literal(text));
        }
        List<Rx> letters = new ArrayList<>();
        text.codePoints()
                .forEach(c -> letters.add(
                        new Rx.Chars(CharSet.of(Character.toLowerCase(c)).or(CharSet.of(Character.toUpperCase(c))))));
        return new Expr.Regular(new Rx.Seq(List.copyOf(letters)));
    }

    private Expr regex() {
        StringBuilder regex = new StringBuilder();
        while (in.peek() != '/') {
            int c = in.next();
            if (c == '\n') {
                throw in.invalid("has a '/' that is not closed");
            }
            if (c == '\\' && in.peek() == '/') {
                c = in.next();
            } else if (c == '\\') {
                regex.append('\\');
                c = in.next();
            }
            regex.appendCodePoint(c);
        }
        in.next();
        if (Character.isLetter(in.peek())) {
            throw in.unsupported("flags of regular expressions");
        }
        return new Expr.Regular(RegexParser.parse(regex.toString()));
    }

    private Expr quantified(Expr item) {
        if (in.take("*")) {
            return new Expr.Repeat(item, 0, -1);
        }
        if (in.take("+")) {
            return new Expr.Repeat(item, 1, -1);
        }
        if (in.take("?")) {
            return new Expr.Repeat(item, 0, 1);
        }
        blanks();
        if (!in.take("~")) {
            return item;
        }
        blanks();
        int min = in.number();
        int max = in.take("..") ? in.number() : min;
        if (max < min) {
            throw in.invalid("has a repetition whose bounds are the wrong way round");
        }
        return new Expr.Repeat(item, min, max);
    }

    private void blanks() {
        while (in.peek() == ' ' || in.peek() == '\t' || in.peek() == '\r') {
            in.next();
        }
        if (in.looksAt("//") || in.looksAt("#")) {
            in.skipLine();
        }
    }

    private void space() {
        blanks();
        while (in.peek() == '\n') {
            in.next();
            blanks();
        }
    }
}

package io.millrace.worker.text.jinja;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Jinja's lexer with {@code trim_blocks} and {@code lstrip_blocks}: white space before a block at the beginning of a line and
 * one newline after it are dropped; a minus sign strips all white space, a plus sign none.
 */
final class Lexer {

    private static final String DIGITS = "[0-9](?:_?[0-9])*+";
    private static final Pattern FLOAT =
            Pattern.compile(DIGITS + "(?:(?:\\." + DIGITS + ")?[eE][+-]?" + DIGITS + "|\\." + DIGITS + ")");
    private static final Pattern INTEGER = Pattern.compile("0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|" + DIGITS);
    private static final Pattern OPERATOR = Pattern.compile("\\*\\*|//|==|!=|>=|<=|[-+/*%~\\[\\](){}<>=.:|,;]");
    private static final Pattern RAW_BEGIN = Pattern.compile("\\{%[-+]?\\s*raw\\s*(?:-%\\}\\s*|%\\})");
    private static final Pattern RAW_END = Pattern.compile("\\{%([-+]?)\\s*endraw\\s*(?:\\+%\\}|-%\\}\\s*|%\\}\n?)");

    private final String source;
    private final List<Token> tokens = new ArrayList<>();
    private int at;
    private int line = 1;
    private int lineAt;
    /** The last tag ended with a newline, or nothing came before. */
    private boolean lineStarting = true;

    private Lexer(String source) {
        this.source = source;
    }

    static List<Token> tokens(String template) {
        String source = template.replace("\r\n", "\n").replace('\r', '\n');
        if (source.endsWith("\n")) {
            source = source.substring(0, source.length() - 1);
        }
        Lexer lexer = new Lexer(source);
        lexer.root();
        return lexer.tokens;
    }

    private void root() {
        while (at < source.length()) {
            int tag = nextTag();
            if (tag < 0) {
                data(source.substring(at));
                at = source.length();
                break;
            }
            char kind = source.charAt(tag + 1);
            Matcher raw = RAW_BEGIN.matcher(source).region(tag, source.length());
            boolean isRaw = kind == '%' && raw.lookingAt();
            data(before(
                    source.substring(at, tag), tag + 2 < source.length() ? source.charAt(tag + 2) : ' ', kind != '{'));
            at = tag;
            if (isRaw) {
                at = raw.end();
                raw();
            } else if (kind == '#') {
                comment();
            } else {
                tag(kind);
            }
        }
        add(Token.Type.END, "");
    }

    private int nextTag() {
        for (int i = source.indexOf('{', at); i >= 0 && i + 1 < source.length(); i = source.indexOf('{', i + 1)) {
            char next = source.charAt(i + 1);
            if (next == '{' || next == '%' || next == '#') {
                return i;
            }
        }
        return -1;
    }

    /** Text before a tag, with its end stripped as the tag wants. */
    private String before(String text, char sign, boolean mayStripLine) {
        if (sign == '-') {
            return PyString.rstrip(text);
        }
        if (sign != '+' && mayStripLine) {
            int start = text.lastIndexOf('\n') + 1;
            if ((start > 0 || lineStarting) && PyString.isBlank(text, start)) {
                return text.substring(0, start);
            }
        }
        return text;
    }

    private void data(String text) {
        if (!text.isEmpty()) {
            add(Token.Type.DATA, text);
        }
    }

    private void add(Token.Type type, String text) {
        for (; lineAt < at; lineAt++) {
            if (source.charAt(lineAt) == '\n') {
                line++;
            }
        }
        tokens.add(new Token(type, text, line));
    }

    private TemplateException error(String message) {
        add(Token.Type.END, "");
        return TemplateException.syntax(message, line);
    }

    private void raw() {
        Matcher end = RAW_END.matcher(source);
        if (!end.find(at)) {
            throw error("Missing end of raw directive");
        }
        String sign = end.group(1);
        lineStarting = source.charAt(at - 1) == '\n';
        data(before(source.substring(at, end.start()), sign.isEmpty() ? ' ' : sign.charAt(0), true));
        at = end.end();
        lineStarting = source.charAt(at - 1) == '\n';
    }

    private void comment() {
        int end = source.indexOf("#}", at + 2);
        if (end < 0) {
            throw error("Missing end of comment tag");
        }
        close(end, end > at + 2 ? source.charAt(end - 1) : ' ', true);
    }

    /** Goes on behind an end tag at {@code end}, and strips there. */
    private void close(int end, char sign, boolean trimNewline) {
        at = end + 2;
        if (sign == '-') {
            while (at < source.length() && PyString.isSpace(source.charAt(at))) {
                at++;
            }
        } else if (sign != '+' && trimNewline && at < source.length() && source.charAt(at) == '\n') {
            at++;
        }
        lineStarting = source.charAt(at - 1) == '\n';
    }

    private void tag(char kind) {
        boolean block = kind == '%';
        add(block ? Token.Type.BLOCK_BEGIN : Token.Type.OUTPUT_BEGIN, "");
        at += 2;
        if (at < source.length() && (source.charAt(at) == '-' || source.charAt(at) == '+')) {
            at++;
        }
        Deque<Character> open = new ArrayDeque<>();
        String end = block ? "%}" : "}}";
        while (at < source.length()) {
            char c = source.charAt(at);
            if (open.isEmpty()) {
                boolean signed = c == '-' || (c == '+' && block);
                if (source.startsWith(end, signed ? at + 1 : at)) {
                    add(block ? Token.Type.BLOCK_END : Token.Type.OUTPUT_END, "");
                    close(signed ? at + 1 : at, signed ? c : ' ', block);
                    return;
                }
            }
            if (PyString.isSpace(c)) {
                at++;
            } else {
                element(c, open);
            }
        }
    }

    private void element(char c, Deque<Character> open) {
        if (c == '\'' || c == '"') {
            string(c);
        } else if (c >= '0' && c <= '9') {
            Matcher number = FLOAT.matcher(source).region(at, source.length());
            boolean isFloat = (at == 0 || source.charAt(at - 1) != '.') && number.lookingAt();
            if (!isFloat) {
                number = INTEGER.matcher(source).region(at, source.length());
                number.lookingAt();
            }
            add(isFloat ? Token.Type.FLOAT : Token.Type.INTEGER, number.group().replace("_", ""));
            at = number.end();
        } else if (c == '_' || Character.isLetter(source.codePointAt(at))) {
            int end = at;
            while (end < source.length()
                    && (source.charAt(end) == '_' || Character.isLetterOrDigit(source.codePointAt(end)))) {
                end += Character.charCount(source.codePointAt(end));
            }
            add(Token.Type.NAME, source.substring(at, end));
            at = end;
        } else {
            operator(open);
        }
    }

    private void operator(Deque<Character> open) {
        Matcher operator = OPERATOR.matcher(source).region(at, source.length());
        if (!operator.lookingAt()) {
            throw error("unexpected char '" + source.charAt(at) + "'");
        }
        String text = operator.group();
        switch (text) {
            case "(" -> open.push(')');
            case "[" -> open.push(']');
            case "{" -> open.push('}');
            case ")", "]", "}" -> {
                if (open.isEmpty() || open.pop() != text.charAt(0)) {
                    throw error("unexpected '" + text + "'");
                }
            }
            default -> {}
        }
        add(Token.Type.OPERATOR, text);
        at = operator.end();
    }

    private void string(char quote) {
        int i = at + 1;
        while (i < source.length() && source.charAt(i) != quote) {
            i += source.charAt(i) == '\\' ? 2 : 1;
        }
        if (i >= source.length()) {
            throw error("unexpected char '" + quote + "'");
        }
        try {
            add(Token.Type.STRING, PyString.unescape(source.substring(at + 1, i)));
        } catch (IllegalArgumentException e) {
            throw error(String.valueOf(e.getMessage()));
        }
        at = i + 1;
    }
}

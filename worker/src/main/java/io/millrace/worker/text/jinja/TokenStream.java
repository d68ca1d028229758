package io.millrace.worker.text.jinja;

import java.util.ArrayList;
import java.util.List;

/** The tokens of a template, the parser's place among them, and the names of filters and tests that do not exist. */
final class TokenStream {

    private static final int NESTING_MAX = 200;

    private final List<Token> tokens;
    private int at;
    private int nesting;
    /** Unknown filters and tests so far; those in branches are dropped, for they fail only when reached. */
    private final List<String> unknown = new ArrayList<>();

    TokenStream(List<Token> tokens) {
        this.tokens = tokens;
    }

    Token current() {
        return tokens.get(at);
    }

    Token look() {
        return tokens.get(Math.min(at + 1, tokens.size() - 1));
    }

    Token next() {
        Token token = current();
        if (at < tokens.size() - 1) {
            at++;
        }
        return token;
    }

    int position() {
        return at;
    }

    /** Whether the name stands between a position and here. */
    boolean hasNameSince(int position, String name) {
        return tokens.subList(position, at).stream().anyMatch(token -> token.isName(name));
    }

    boolean skipOperator(String operator) {
        boolean is = current().isOperator(operator);
        if (is) {
            next();
        }
        return is;
    }

    boolean skipName(String name) {
        boolean is = current().isName(name);
        if (is) {
            next();
        }
        return is;
    }

    void expectOperator(String operator) {
        if (!skipOperator(operator)) {
            throw error("expected token '" + operator + "', got " + current().describe());
        }
    }

    void expect(Token.Type type, String what) {
        if (current().type() != type) {
            throw error("expected " + what + ", got " + current().describe());
        }
        next();
    }

    String expectName() {
        if (current().type() != Token.Type.NAME) {
            throw error("expected a name, got " + current().describe());
        }
        return next().text();
    }

    TemplateException error(String message) {
        return TemplateException.syntax(message, current().line());
    }

    void enter() {
        if (++nesting > NESTING_MAX) {
            throw error("more than " + NESTING_MAX + " expressions or blocks inside each other");
        }
    }

    void leave() {
        nesting--;
    }

    int unknownMark() {
        return unknown.size();
    }

    void addUnknown(String message) {
        unknown.add(message);
    }

    /** What was found since the mark lies in a branch: it fails when it is reached. */
    void forgiveUnknown(int mark) {
        unknown.subList(mark, unknown.size()).clear();
    }

    /** What was found since the mark is certain to be an error. */
    void refuseUnknown(int mark) {
        if (unknown.size() > mark) {
            throw error(unknown.get(mark));
        }
    }
}

package io.millrace.worker.text.jinja;

import io.millrace.worker.text.jinja.Stmt.Target;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;

/** Templates: text, output, and the tags. */
final class Parser {

    private static final Set<String> CONSTANTS = Set.of("true", "false", "none", "True", "False", "None");

    private final TokenStream in;
    private final ExpressionParser expressions;

    private Parser(TokenStream in) {
        this.in = in;
        this.expressions = new ExpressionParser(in);
    }

    static List<Stmt> parse(String template) {
        Parser parser = new Parser(new TokenStream(Lexer.tokens(template)));
        List<Stmt> body = parser.body("", Set.of());
        parser.in.refuseUnknown(0);
        return body;
    }

    /**
     * Statements up to a tag with one of the names, whose name is then the current token; to the end of the template where there
     * are none.
     */
    private List<Stmt> body(String tag, Set<String> ends) {
        in.enter();
        List<Stmt> body = new ArrayList<>();
        while (true) {
            Token token = in.next();
            switch (token.type()) {
                case DATA -> body.add(new Stmt.Text(token.text()));
                case OUTPUT_BEGIN -> {
                    body.add(new Stmt.Output(expressions.tuple(true, null)));
                    in.expect(Token.Type.OUTPUT_END, "end of print statement");
                }
                case BLOCK_BEGIN -> {
                    if (in.current().type() == Token.Type.NAME
                            && ends.contains(in.current().text())) {
                        in.leave();
                        return body;
                    }
                    body.add(statement());
                    in.expect(Token.Type.BLOCK_END, "end of statement block");
                }
                default -> {
                    if (!ends.isEmpty()) {
                        throw in.error("Unexpected end of template. Jinja was looking for the following tags: " + ends
                                + ". The innermost block that needs to be closed is '" + tag + "'.");
                    }
                    in.leave();
                    return body;
                }
            }
        }
    }

    /** Behind a tag's head: its body up to its end tag, whose name is consumed. */
    private List<Stmt> block(String tag) {
        in.expect(Token.Type.BLOCK_END, "end of statement block");
        List<Stmt> body = body(tag, Set.of("end" + tag));
        in.next();
        return body;
    }

    /** A block that is a frame of its own: unknown filters directly in it are errors at once. */
    private List<Stmt> frame(String tag) {
        int mark = in.unknownMark();
        List<Stmt> body = block(tag);
        in.refuseUnknown(mark);
        return body;
    }

    private Stmt statement() {
        String tag = in.expectName();
        return switch (tag) {
            case "if" -> conditional();
            case "for" -> loop();
            case "set" -> assignment();
            case "macro" -> macro();
            case "call" -> callBlock();
            case "filter" -> new Stmt.FilterBlock(expressions.filterChain(), frame("filter"));
            case "with" -> with();
            case "generation" -> new Stmt.Scoped(frame("generation"));
            case "break" -> new Stmt.Break();
            case "continue" -> new Stmt.Continue();
            case "print" -> new Stmt.Output(expressions.tuple(true, null));
            default -> throw in.error("Encountered unknown tag '" + tag + "'.");
        };
    }

    private Stmt conditional() {
        int mark = in.unknownMark();
        List<Stmt.Branch> branches = new ArrayList<>();
        List<Stmt> otherwise = List.of();
        while (true) {
            Expr test = expressions.tuple(false, null);
            in.expect(Token.Type.BLOCK_END, "end of statement block");
            branches.add(new Stmt.Branch(test, body("if", Set.of("elif", "else", "endif"))));
            String next = in.next().text();
            if (next.equals("elif")) {
                continue;
            }
            if (next.equals("else")) {
                otherwise = block("if");
            }
            break;
        }
        in.forgiveUnknown(mark);
        return new Stmt.If(branches, otherwise);
    }

    private Stmt loop() {
        Target target = target(false);
        if (!in.skipName("in")) {
            throw in.error("expected token 'in', got " + in.current().describe());
        }
        Expr items = expressions.tuple(false, "recursive");
        int mark = in.unknownMark();
        Expr test = in.skipName("if") ? expressions.expression() : null;
        boolean recursive = in.skipName("recursive");
        in.expect(Token.Type.BLOCK_END, "end of statement block");
        List<Stmt> body = body("for", Set.of("else", "endfor"));
        List<Stmt> otherwise = List.of();
        if (in.next().text().equals("else")) {
            otherwise = block("for");
        }
        in.refuseUnknown(mark);
        return new Stmt.For(target, items, test, body, otherwise, recursive);
    }

    private Stmt assignment() {
        Target target = target(true);
        if (in.skipOperator("=")) {
            return new Stmt.Assign(target, expressions.tuple(true, null));
        }
        Expr.Filter filter = in.skipOperator("|") ? expressions.filterChain() : null;
        return new Stmt.AssignBlock(target, filter, frame("set"));
    }

    private Stmt macro() {
        String name = variable();
        int mark = in.unknownMark();
        List<Stmt.Parameter> parameters = parameters();
        int position = in.position();
        List<Stmt> body = block("macro");
        in.refuseUnknown(mark);
        return new Stmt.MacroDefinition(signature(name, parameters, position), body);
    }

    private Stmt callBlock() {
        List<Stmt.Parameter> parameters = in.current().isOperator("(") ? parameters() : List.of();
        if (!(expressions.unary(true) instanceof Expr.Call call)) {
            throw in.error("expected call");
        }
        int position = in.position();
        List<Stmt> body = frame("call");
        return new Stmt.CallBlock(signature("caller", parameters, position), call, body);
    }

    /** @param position where the body began */
    private Stmt.Signature signature(String name, List<Stmt.Parameter> parameters, int position) {
        return new Stmt.Signature(
                name, parameters, in.hasNameSince(position, "varargs"), in.hasNameSince(position, "kwargs"));
    }

    private List<Stmt.Parameter> parameters() {
        in.expectOperator("(");
        List<Stmt.Parameter> parameters = new ArrayList<>();
        while (!in.skipOperator(")")) {
            if (!parameters.isEmpty()) {
                in.expectOperator(",");
            }
            String name = variable();
            Expr standard = in.skipOperator("=") ? expressions.expression() : null;
            if (standard == null
                    && !parameters.isEmpty()
                    && parameters.getLast().standard() != null) {
                throw in.error("non-default argument follows default argument");
            }
            parameters.add(new Stmt.Parameter(name, standard));
        }
        return parameters;
    }

    private Stmt with() {
        List<Target> targets = new ArrayList<>();
        List<Expr> values = new ArrayList<>();
        while (in.current().type() != Token.Type.BLOCK_END) {
            if (!targets.isEmpty()) {
                in.expectOperator(",");
            }
            targets.add(target(false));
            in.expectOperator("=");
            values.add(expressions.expression());
        }
        return new Stmt.With(targets, values, frame("with"));
    }

    /** Names, in brackets or with commas; with {@code members}, also namespace.attribute. */
    private Target target(boolean members) {
        if (members && in.current().type() == Token.Type.NAME && in.look().isOperator(".")) {
            String namespace = in.next().text();
            in.next();
            return new Target.Member(namespace, in.expectName());
        }
        List<Target> targets = new ArrayList<>();
        boolean several = false;
        while (true) {
            targets.add(oneTarget());
            if (!in.skipOperator(",")) {
                break;
            }
            several = true;
            if (in.current().type() != Token.Type.NAME && !in.current().isOperator("(")) {
                break;
            }
            if (in.current().isName("in")) {
                break;
            }
        }
        return several ? new Target.Several(targets) : targets.getFirst();
    }

    private Target oneTarget() {
        if (in.skipOperator("(")) {
            in.enter();
            Target inside = target(false);
            in.leave();
            in.expectOperator(")");
            return inside;
        }
        return new Target.Variable(variable());
    }

    private String variable() {
        String name = in.expectName();
        if (CONSTANTS.contains(name)) {
            throw in.error("can't assign to '" + name + "'");
        }
        return name;
    }
}

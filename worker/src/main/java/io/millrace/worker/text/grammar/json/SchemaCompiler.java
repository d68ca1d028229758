package io.millrace.worker.text.grammar.json;

import io.millrace.worker.text.grammar.automaton.Automaton;
import io.millrace.worker.text.grammar.automaton.Budget;
import io.millrace.worker.text.grammar.automaton.GrammarException;
import io.millrace.worker.text.grammar.automaton.Rx;
import io.millrace.worker.text.grammar.machine.GrammarBuilder;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import tools.jackson.databind.JsonNode;

/**
 * Makes a schema a grammar, a rule for each set of schemas that hold together somewhere. What the grammar allows are exactly the
 * schema's valid instances, each in one order of its properties: as {@code properties} names them, then those named by
 * {@code required} only, then all others. Not thread-safe.
 */
final class SchemaCompiler {

    private static final int RULES_MAX = 20_000;

    private final GrammarBuilder grammar;
    private final StringLanguages strings;
    private final Instances instances;
    private final Alternatives alternatives;
    private final JsonTokens tokens;
    private final ObjectRules objects;
    private final Budget budget;
    private final SchemaDocument document;
    private final Map<List<Located>, Integer> rules = new HashMap<>();
    private final Deque<Runnable> open = new ArrayDeque<>();

    SchemaCompiler(JsonNode schema, boolean compact, GrammarBuilder grammar, Budget budget) {
        this.grammar = grammar;
        this.budget = budget;
        this.document = new SchemaDocument(schema);
        this.strings = new StringLanguages(budget);
        NumberLanguages numbers = new NumberLanguages(budget);
        this.instances = new Instances(document, strings, budget);
        this.alternatives = new Alternatives(document, new Disjoint(strings, numbers, instances, budget));
        this.tokens = new JsonTokens(grammar, budget, strings, numbers, compact);
        this.objects = new ObjectRules(grammar, tokens, this::rule);
    }

    /** The rule of all valid instances. */
    int compile() {
        int root = rule(List.of(document.root()));
        while (!open.isEmpty()) {
            open.remove().run();
        }
        return root;
    }

    /** The rule of values that satisfy all of these; its body is made later. */
    private int rule(List<Located> schemas) {
        List<Located> key = schemas.stream()
                .distinct()
                .sorted(Comparator.comparing(Located::pointer))
                .toList();
        Integer known = rules.get(key);
        if (known != null) {
            return known;
        }
        if (rules.size() == RULES_MAX) {
            throw GrammarException.tooLarge("the schema has more than %,d different parts.".formatted(RULES_MAX));
        }
        int rule = grammar.rule(key.isEmpty() ? "any" : key.getFirst().pointer());
        rules.put(key, rule);
        open.add(() -> body(rule, schemas));
        return rule;
    }

    private void body(int rule, List<Located> schemas) {
        try {
            int end = grammar.node();
            grammar.end(end);
            for (Flat flat : alternatives.of(schemas)) {
                flat(flat, grammar.start(rule), end);
            }
        } catch (GrammarException e) {
            throw schemas.isEmpty() ? e : e.at(schemas.getFirst().pointer());
        }
    }

    private void flat(Flat flat, int from, int to) {
        if (flat.isLiteral()) {
            List<JsonNode> values = flat.literals(instances);
            if (!values.isEmpty()) {
                grammar.terminal(from, tokens.literals(values), to);
            }
            return;
        }
        for (Flat.Type type : flat.types()) {
            switch (type) {
                case NULL -> grammar.terminal(from, tokens.word("null"), to);
                case BOOLEAN -> {
                    grammar.terminal(from, tokens.word("true"), to);
                    grammar.terminal(from, tokens.word("false"), to);
                }
                case INTEGER, NUMBER ->
                    grammar.terminal(
                            from, tokens.number(NumberShape.of(flat.schemas(), type == Flat.Type.INTEGER)), to);
                case STRING -> grammar.terminal(from, tokens.string(strings.shape(flat.schemas())), to);
                case ARRAY -> new ArrayRules(grammar, tokens, this::rule).add(flat, from, to);
                case OBJECT -> {
                    ObjectShape shape = ObjectShape.of(flat, strings, names(flat), budget);
                    shape.checkMinimum(flat);
                    objects.add(shape, from, to);
                }
            }
        }
    }

    /** The names that {@code propertyNames} allows. */
    private Automaton names(Flat flat) {
        List<Located> schemas = new ArrayList<>();
        for (Located schema : flat.schemas()) {
            Located names = schema.schema("propertyNames");
            if (names != null) {
                schemas.add(names);
            }
        }
        List<Rx> languages = new ArrayList<>();
        for (Flat way : alternatives.of(schemas)) {
            if (way.isLiteral()) {
                way.literals(instances).stream()
                        .filter(JsonNode::isString)
                        .forEach(value -> languages.add(Rx.literal(value.stringValue())));
            } else if (way.types().contains(Flat.Type.STRING)) {
                languages.add(new Rx.Embedded(strings.of(strings.shape(way.schemas()))));
            }
        }
        return languages.size() == 1 && languages.getFirst() instanceof Rx.Embedded(Automaton only)
                ? only
                : new Rx.Alt(languages).compile(budget);
    }
}

package io.millrace.worker.text.grammar.json;

import io.millrace.worker.text.grammar.automaton.GrammarException;
import io.millrace.worker.text.grammar.automaton.GrammarException.Kind;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import tools.jackson.databind.JsonNode;

/**
 * Follows what applies in place: {@code $ref}, {@code allOf}, {@code anyOf}, {@code oneOf}. Schemas that hold together become the ways
 * in which they can, of which one must be taken.
 */
final class Alternatives {

    private static final int MOST = 500;
    private static final List<String> REFUSED = List.of("$dynamicRef", "$recursiveRef", "if");

    private final SchemaDocument document;
    private final Disjoint disjoint;

    Alternatives(SchemaDocument document, Disjoint disjoint) {
        this.document = document;
        this.disjoint = disjoint;
    }

    /** None when the schemas are never satisfied together. */
    List<Flat> of(List<Located> schemas) {
        List<Flat> found = new ArrayList<>();
        Part start = new Part(new LinkedHashSet<>(), new ArrayList<>());
        if (schemas.stream().allMatch(s -> gather(s, start, Set.of()))) {
            choose(start, 0, found);
        }
        return found;
    }

    /** One of these must hold; {@code path} led to them, without anything being described. */
    private record Choice(List<Located> options, Set<Located> path) {}

    /** Schemas gathered so far, and choices still to be made. */
    private record Part(Set<Located> plain, List<Choice> choices) {}

    /** Takes one choice after the other, each in every way. */
    private void choose(Part part, int index, List<Flat> found) {
        if (index == part.choices().size()) {
            if (found.size() == MOST) {
                throw GrammarException.tooLarge("'anyOf' and 'oneOf' combine in more than " + MOST + " ways here.");
            }
            found.add(new Flat(List.copyOf(part.plain())));
            return;
        }
        Choice choice = part.choices().get(index);
        for (Located option : choice.options()) {
            Part next = new Part(new LinkedHashSet<>(part.plain()), new ArrayList<>(part.choices()));
            if (gather(option, next, choice.path())) {
                choose(next, index + 1, found);
            }
        }
    }

    /** False when the schema allows nothing. */
    private boolean gather(Located schema, Part part, Set<Located> path) {
        JsonNode node = schema.node();
        if (node.isBoolean()) {
            return node.booleanValue();
        }
        if (!node.isObject()) {
            throw new GrammarException(
                    Kind.INVALID,
                    schema.pointer(),
                    "a schema must be an object, true or false, not " + node.getNodeType() + ".");
        }
        if (path.contains(schema)) {
            throw schema.unsupported("$ref", "goes round in circles without describing anything.");
        }
        if (part.plain().contains(schema)) {
            return true;
        }
        document.refuseNested(schema);
        Set<Located> here = new LinkedHashSet<>(path);
        here.add(schema);
        if (schema.has("$ref")) {
            if (!gather(document.resolve(schema), part, here)) {
                return false;
            }
            if (document.refStandsAlone()) {
                return true;
            }
        }
        for (String keyword : REFUSED) {
            if (schema.has(keyword) && !literal(schema)) {
                throw schema.unsupported(keyword, "cannot be enforced.");
            }
        }
        for (Located each : schema.schemas("allOf")) {
            if (!gather(each, part, here)) {
                return false;
            }
        }
        choices(schema, part, here);
        return true;
    }

    private void choices(Located schema, Part part, Set<Located> here) {
        part.plain().add(schema);
        if (schema.has("anyOf")) {
            part.choices().add(new Choice(schema.schemas("anyOf"), here));
        }
        if (schema.has("oneOf")) {
            List<Located> options = schema.schemas("oneOf");
            if (!literal(schema)) {
                disjoint.check(schema, options, this);
            }
            part.choices().add(new Choice(options, here));
        }
    }

    private static boolean literal(Located schema) {
        return schema.has("const") || schema.has("enum");
    }
}

package io.millrace.worker.text.grammar.json;

import io.millrace.worker.text.grammar.automaton.GrammarException;
import io.millrace.worker.text.grammar.automaton.GrammarException.Kind;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import tools.jackson.databind.JsonNode;

/** A schema with all it refers to: {@code $ref} finds pointers and anchors within it. */
final class SchemaDocument {

    private static final String DRAFT = "json-schema.org/draft";

    private final Located root;
    private final String id;
    private final boolean refStandsAlone;
    private final Map<String, Located> anchors = new HashMap<>();

    SchemaDocument(JsonNode schema) {
        root = new Located("", schema);
        if (!schema.isObject() && !schema.isBoolean()) {
            throw GrammarException.invalid("a schema must be an object, true or false.");
        }
        String dialect = schema.isObject() && schema.path("$schema").isString()
                ? schema.path("$schema").stringValue()
                : "";
        if (!dialect.isEmpty() && !dialect.contains(DRAFT)) {
            throw root.unsupported("$schema", "names a dialect that this server does not know: " + dialect);
        }
        refStandsAlone = dialect.contains("draft-0");
        id = schema.path("$id").isString() ? schema.path("$id").stringValue().replaceAll("#$", "") : "";
        collectAnchors(root);
    }

    private void collectAnchors(Located at) {
        JsonNode node = at.node();
        if (node.isObject()) {
            if (node.path("$anchor").isString()) {
                anchors.putIfAbsent(node.path("$anchor").stringValue(), at);
            } else if (node.path("$id").isString()
                    && node.path("$id").stringValue().startsWith("#")) {
                anchors.putIfAbsent(node.path("$id").stringValue().substring(1), at);
            }
            node.propertyNames().forEach(name -> collectAnchors(new Located(at.place(name), node.get(name))));
        } else if (node.isArray()) {
            for (int i = 0; i < node.size(); i++) {
                collectAnchors(new Located(at.pointer() + "/" + i, node.get(i)));
            }
        }
    }

    Located root() {
        return root;
    }

    /** Whether keywords beside {@code $ref} do not count, as until draft 7. */
    boolean refStandsAlone() {
        return refStandsAlone;
    }

    /** Throws when the schema is a resource of its own within the document: references in it would mean something else. */
    void refuseNested(Located at) {
        JsonNode nested = at.get("$id");
        if (nested != null
                && !at.pointer().isEmpty()
                && nested.isString()
                && !nested.stringValue().startsWith("#")) {
            throw at.unsupported("$id", "within a schema is not supported; put it at the root, or leave it out.");
        }
    }

    Located resolve(Located from) {
        String ref = from.string("$ref");
        if (ref == null) {
            throw from.wrong("$ref", "a string");
        }
        String local = !id.isEmpty() && ref.startsWith(id) ? ref.substring(id.length()) : ref;
        if (!local.isEmpty() && !local.startsWith("#")) {
            throw from.unsupported(
                    "$ref", "leads out of the schema (" + ref + "); only references within it are followed.");
        }
        String fragment = local.isEmpty() ? "" : decode(local.substring(1), from);
        if (!fragment.isEmpty() && !fragment.startsWith("/")) {
            Located anchor = anchors.get(fragment);
            if (anchor == null) {
                throw missing(from, ref);
            }
            return anchor;
        }
        return pointer(fragment, from, ref);
    }

    private static String decode(String fragment, Located from) {
        try {
            return URLDecoder.decode(fragment.replace("+", "%2B"), StandardCharsets.UTF_8);
        } catch (IllegalArgumentException e) {
            throw from.wrong("$ref", "a reference with a valid fragment");
        }
    }

    private Located pointer(String pointer, Located from, String ref) {
        Located at = root;
        if (pointer.isEmpty()) {
            return at;
        }
        for (String step : pointer.substring(1).split("/", -1)) {
            String name = step.replace("~1", "/").replace("~0", "~");
            if (at.node().isObject()) {
                refuseNested(at);
            }
            JsonNode child =
                    at.node().isArray() ? item(at.node(), name) : at.node().get(name);
            if (child == null) {
                throw missing(from, ref);
            }
            at = new Located(at.place(name), child);
        }
        return at;
    }

    private static @org.jspecify.annotations.Nullable JsonNode item(JsonNode array, String index) {
        return index.matches("0|[1-9][0-9]{0,6}") ? array.get(Integer.parseInt(index)) : null;
    }

    private static GrammarException missing(Located from, String ref) {
        return new GrammarException(Kind.INVALID, from.place("$ref"), "'$ref' leads nowhere: " + ref);
    }
}

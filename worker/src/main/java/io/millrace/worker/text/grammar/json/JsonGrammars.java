package io.millrace.worker.text.grammar.json;

import io.millrace.worker.text.grammar.automaton.Budget;
import io.millrace.worker.text.grammar.automaton.GrammarException;
import io.millrace.worker.text.grammar.machine.GrammarBuilder;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.DeserializationFeature;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.JsonNodeFactory;

/** Rules of JSON texts. Thread-safe. */
public final class JsonGrammars {

    private static final int SCHEMA_CHARACTERS_MAX = 1 << 20;

    private static final JsonMapper MAPPER = JsonMapper.builder()
            .enable(DeserializationFeature.USE_BIG_DECIMAL_FOR_FLOATS)
            .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
            .build();

    private JsonGrammars() {}

    /**
     * Adds the rule of a schema's valid instances.
     *
     * @param compact no white space between tokens
     * @throws GrammarException naming the keyword by its JSON pointer
     */
    public static int schema(String schema, boolean compact, GrammarBuilder grammar, Budget budget) {
        if (schema.length() > SCHEMA_CHARACTERS_MAX) {
            throw GrammarException.tooLarge("the schema has %,d characters; at most %,d work."
                    .formatted(schema.length(), SCHEMA_CHARACTERS_MAX));
        }
        JsonNode node;
        try {
            node = MAPPER.readTree(schema);
        } catch (JacksonException e) {
            throw GrammarException.invalid("the schema is not valid JSON: " + e.getOriginalMessage());
        }
        return new SchemaCompiler(node, compact, grammar, budget).compile();
    }

    /** Adds the rule of all JSON objects. */
    public static int object(boolean compact, GrammarBuilder grammar, Budget budget) {
        JsonNode schema = JsonNodeFactory.instance.objectNode().put("type", "object");
        return new SchemaCompiler(schema, compact, grammar, budget).compile();
    }
}

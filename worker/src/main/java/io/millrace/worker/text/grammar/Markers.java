package io.millrace.worker.text.grammar;

import io.millrace.shared.output.ReasoningFormat;
import io.millrace.shared.output.ToolFormat;
import io.millrace.worker.text.Tokenizer;
import io.millrace.worker.text.grammar.automaton.Rx;
import io.millrace.worker.text.grammar.machine.Vocabulary;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Stream;

/**
 * Texts that stand around calls and reasoning, where they are control tokens of a vocabulary: grammars name the token then, not its text.
 *
 * @param tokens ids by text
 */
record Markers(Map<String, Integer> tokens) {

    /** All of them are plain text. */
    static final Markers NONE = new Markers(Map.of());

    Markers {
        tokens = Map.copyOf(tokens);
    }

    static Markers of(Tokenizer tokenizer, int vocabularySize) {
        Map<String, Integer> tokens = new TreeMap<>();
        Stream.concat(
                        Arrays.stream(ToolFormat.values()).flatMap(format -> format.markers().stream()),
                        Arrays.stream(ReasoningFormat.values()).flatMap(format -> format.markers().stream()))
                .distinct()
                .forEach(text -> {
                    int id = tokenizer.id(text);
                    if (id >= 0 && id < vocabularySize && tokenizer.isControl(id)) {
                        tokens.put(text, id);
                    }
                });
        return new Markers(tokens);
    }

    Set<Integer> ids() {
        return Set.copyOf(tokens.values());
    }

    /** Bytes of the marker in a grammar. */
    Rx bytes(String marker) {
        Integer id = tokens.get(marker);
        byte[] bytes = id == null ? marker.getBytes(StandardCharsets.UTF_8) : Vocabulary.marker(id);
        return Rx.literal(new String(bytes, StandardCharsets.ISO_8859_1));
    }
}

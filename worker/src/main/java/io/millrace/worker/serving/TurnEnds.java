package io.millrace.worker.serving;

import io.millrace.worker.text.EndTexts;
import io.millrace.worker.text.Tokenizer;
import java.util.LinkedHashSet;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * A model's tokenizer, whose end ids include the control tokens by which the chat template ends a turn: base models and some
 * fine-tuned ones name only the end of a text in their files.
 */
record TurnEnds(Tokenizer tokenizer, Set<Integer> ends) implements Tokenizer {

    static Tokenizer of(Tokenizer tokenizer, @Nullable String template) {
        Set<Integer> ends = new LinkedHashSet<>();
        for (int id : tokenizer.eosIds()) {
            ends.add(id);
        }
        int said = ends.size();
        if (template != null) {
            EndTexts.among(text -> tokenizer.id(text) >= 0).stream()
                    .filter(template::contains)
                    .map(tokenizer::id)
                    .filter(id -> id >= 0 && tokenizer.isControl(id))
                    .forEach(ends::add);
        }
        return ends.size() == said ? tokenizer : new TurnEnds(tokenizer, ends);
    }

    @Override
    public int[] encode(String text, boolean addSpecial, boolean parseSpecial) {
        return tokenizer.encode(text, addSpecial, parseSpecial);
    }

    @Override
    public byte[] bytes(int id) {
        return tokenizer.bytes(id);
    }

    @Override
    public boolean isControl(int id) {
        return tokenizer.isControl(id);
    }

    @Override
    public boolean dropsFirstSpace() {
        return tokenizer.dropsFirstSpace();
    }

    @Override
    public int vocabularySize() {
        return tokenizer.vocabularySize();
    }

    @Override
    public int id(String token) {
        return tokenizer.id(token);
    }

    @Override
    public int bosId() {
        return tokenizer.bosId();
    }

    @Override
    public int[] eosIds() {
        return ends.stream().mapToInt(Integer::intValue).toArray();
    }

    /** What ends a text changes no ids of it. */
    @Override
    public long hash() {
        return tokenizer.hash();
    }
}

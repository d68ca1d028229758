package io.millrace.worker.text.hub;

import io.millrace.worker.text.vocab.TokenType;
import io.millrace.worker.text.vocab.Vocabulary;
import io.millrace.worker.text.vocab.Vocabulary.AddedRule;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** A vocabulary that is put together from several files. Not thread-safe. */
final class VocabularyBuilder {

    /** Ids that the files skip become unused tokens; so many at most, for no file may claim memory by a number. */
    private static final int GAP_MAX = 1 << 16;

    private final List<String> tokens = new ArrayList<>();
    private final List<Integer> types = new ArrayList<>();
    private final List<Float> scores = new ArrayList<>();
    private final Map<String, Integer> ids = new HashMap<>();
    private final Map<Integer, AddedRule> added = new HashMap<>();

    void add(String text, int type, float score) {
        ids.putIfAbsent(text, tokens.size());
        tokens.add(text);
        types.add(type);
        scores.add(score);
    }

    /** -1 when there is none. */
    int id(String text) {
        return ids.getOrDefault(text, -1);
    }

    /** Adds or changes the tokens that the folder's configuration names. */
    void apply(String file, ModelFolder folder) {
        for (ModelFolder.Added token : folder.added()) {
            int id = token.id() >= 0 ? token.id() : id(token.text());
            if (id < 0) {
                continue;
            }
            if (id > tokens.size() + GAP_MAX) {
                throw Vocabulary.broken(
                        file,
                        "the added token \"" + token.text() + "\" has the id " + id + ", but there are only "
                                + tokens.size() + " tokens");
            }
            while (tokens.size() <= id) {
                add("", TokenType.UNUSED, 0);
            }
            int type = types.get(id);
            if (type != TokenType.UNKNOWN) {
                types.set(id, token.special() ? TokenType.CONTROL : TokenType.USER_DEFINED);
            }
            if (!tokens.get(id).equals(token.text())) {
                ids.remove(tokens.get(id), id);
                tokens.set(id, token.text());
                ids.putIfAbsent(token.text(), id);
            }
            added.put(id, token.rule());
        }
    }

    Vocabulary build(
            Vocabulary.Source source,
            Vocabulary.Kind kind,
            String pre,
            String[] merges,
            Vocabulary.Special special,
            Vocabulary.Spaces spaces) {
        float[] allScores = new float[kind == Vocabulary.Kind.BYTE_PAIR ? 0 : scores.size()];
        for (int i = 0; i < allScores.length; i++) {
            allScores[i] = scores.get(i);
        }
        return new Vocabulary(
                source,
                kind,
                Vocabulary.Cutting.named(pre),
                tokens.toArray(String[]::new),
                types.stream().mapToInt(Integer::intValue).toArray(),
                allScores,
                merges,
                special,
                spaces,
                Map.copyOf(added));
    }
}

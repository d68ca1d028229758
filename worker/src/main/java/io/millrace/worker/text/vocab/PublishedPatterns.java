package io.millrace.worker.text.vocab;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** Which pre-tokenizer a tokenizer.json describes: its stages must be, letter for letter, those of a model we know. */
public final class PublishedPatterns {

    /** A stage that cuts out each digit. */
    public static final String DIGITS = "Digits";
    /** A stage that cuts by GPT-2's rule. */
    public static final String BYTE_LEVEL = "ByteLevel";

    private PublishedPatterns() {}

    /**
     * Name of the pre-tokenizer; null: none that is known.
     *
     * @param stages regular expressions, {@link #DIGITS} or {@link #BYTE_LEVEL}, in their order
     */
    public static @Nullable String name(List<String> stages) {
        try (InputStream in = PublishedPatterns.class.getResourceAsStream("published-patterns.json")) {
            for (JsonNode known : JsonMapper.shared().readTree(in)) {
                List<String> its = new ArrayList<>();
                known.get("stages").forEach(stage -> its.add(stage.stringValue()));
                if (its.equals(stages)) {
                    return known.get("pre").stringValue();
                }
            }
            return null;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}

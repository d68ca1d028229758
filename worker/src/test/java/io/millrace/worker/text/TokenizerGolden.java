package io.millrace.worker.text;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import tools.jackson.databind.JsonNode;

/** Compares a tokenizer with a folder's {@code cases.json}. */
public final class TokenizerGolden {

    private TokenizerGolden() {}

    /** Everything that a loader of either file must give. */
    public static void verify(Tokenizer tokenizer, JsonNode cases) {
        assertThat(tokenizer.bosId())
                .isEqualTo(cases.get("bos").isNull() ? -1 : cases.get("bos").intValue());
        assertThat(tokenizer.eosIds()).contains(cases.get("eos").intValue());
        assertThat(tokenizer.dropsFirstSpace())
                .isEqualTo(cases.get("add_space_prefix").booleanValue());
        verifyEncoding(tokenizer, cases);
        verifyDecoding(tokenizer, cases);
    }

    private static void verifyEncoding(Tokenizer tokenizer, JsonNode cases) {
        List<String> wrong = new ArrayList<>();
        assertThat(cases.get("encode")).hasSizeGreaterThan(100);
        for (JsonNode c : cases.get("encode")) {
            String text = c.get("text").stringValue();
            compare(wrong, c, "ids", tokenizer.encode(text, false, true));
            compare(wrong, c, "ids_with_special", tokenizer.encode(text, true, true));
            compare(wrong, c, "ids_plain", tokenizer.encode(text, false, false));
        }
        for (JsonNode c : cases.get("single_bytes")) {
            int id = c.get("id").intValue();
            if (tokenizer.bytes(id).length == 1) {
                assertThat(tokenizer.bytes(id)[0] & 0xFF)
                        .isEqualTo(c.get("byte").intValue());
            }
            IncrementalDetokenizer alone = new IncrementalDetokenizer(tokenizer, false, false);
            assertThat(alone.push(id) + alone.finish())
                    .isEqualTo(c.get("decoded").stringValue());
        }
        assertThat(wrong).isEmpty();
    }

    private static void compare(List<String> wrong, JsonNode c, String field, int[] ids) {
        JsonNode expected = c.get(field);
        // Where sentencepiece and Hugging Face differ, both ways count; ids_plain has only sentencepiece's.
        boolean either = c.has("second_opinion")
                && (Arrays.equals(Golden.ids(c.get("second_opinion").get("ids")), ids)
                        || Arrays.equals(Golden.ids(c.get("ids")), ids));
        if (!Arrays.equals(Golden.ids(expected), ids) && !either) {
            wrong.add(c.get("name").stringValue() + " " + field + ": expected " + expected + ", got "
                    + Arrays.toString(ids));
        }
    }

    private static void verifyDecoding(Tokenizer tokenizer, JsonNode cases) {
        int verified = 0;
        for (JsonNode c : cases.get("encode")) {
            verified += verifyStream(tokenizer, c, "", false);
            verified += verifyStream(tokenizer, c, "_skip_special", true);
        }
        for (JsonNode c : cases.get("decode")) {
            verified += verifyStream(tokenizer, c, "", false);
            verified += verifyStream(tokenizer, c, "_skip_special", true);
        }
        for (JsonNode c : cases.get("continuations")) {
            OutputText output = new OutputText(tokenizer, List.of(), false, false, 0);
            List<String> pieces = new ArrayList<>();
            for (int id : Golden.ids(c.get("ids"))) {
                pieces.add(output.push(id));
            }
            assertThat(pieces).isEqualTo(Golden.strings(c.get("pieces")));
            verified++;
        }
        assertThat(verified).isGreaterThan(150);
    }

    private static int verifyStream(Tokenizer tokenizer, JsonNode c, String suffix, boolean skipSpecial) {
        if (!c.has("decoded" + suffix)) {
            return 0;
        }
        String name = c.get("name").stringValue() + suffix;
        int[] ids = Golden.ids(c.get("ids"));
        IncrementalDetokenizer detokenizer = new IncrementalDetokenizer(tokenizer, skipSpecial, true);
        List<String> pieces = new ArrayList<>();
        for (int id : ids) {
            pieces.add(detokenizer.push(id));
        }
        String tail = detokenizer.finish();
        assertThat(pieces).as(name).isEqualTo(Golden.strings(c.get("pieces" + suffix)));
        JsonNode expectedTail = c.get("tail" + suffix);
        assertThat(tail).as(name).isEqualTo(expectedTail == null ? "" : expectedTail.stringValue());
        assertThat(IncrementalDetokenizer.decode(tokenizer, ids, skipSpecial))
                .as(name)
                .isEqualTo(c.get("decoded" + suffix).stringValue());
        return 1;
    }

    /** Lone surrogates are U+FFFD, and nothing else happens to them. */
    public static void verifyLoneSurrogates(Tokenizer tokenizer) {
        for (String broken : List.of("\uD83D", "a\uDC4Db", "\uDC4D\uD83D", "x\uD83D\uD83D\uDC4D")) {
            String defined = broken.replaceAll("[\\x{D800}-\\x{DFFF}]", "\uFFFD");
            assertThat(tokenizer.encode(broken, false, true)).isEqualTo(tokenizer.encode(defined, false, true));
        }
        assertThat("\uFFFD".getBytes(StandardCharsets.UTF_8)).hasSize(3);
    }
}

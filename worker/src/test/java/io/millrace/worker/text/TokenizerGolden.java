package io.millrace.worker.text;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import tools.jackson.databind.JsonNode;

/** Compares a tokenizer with a folder's {@code cases.json}; counts what was compared. Every difference is reported at once. */
public final class TokenizerGolden {

    /**
     * What agreed.
     *
     * @param ids texts encoded, in three ways each
     * @param streams id lists decoded, whole and piece by piece, with and without control tokens
     * @param bytes tokens of single bytes
     */
    public record Counts(int ids, int streams, int bytes) {}

    private final Tokenizer tokenizer;
    private final JsonNode cases;
    private final List<String> wrong = new ArrayList<>();
    private int ids;
    private int streams;
    private int bytes;

    private TokenizerGolden(Tokenizer tokenizer, JsonNode cases) {
        this.tokenizer = tokenizer;
        this.cases = cases;
    }

    /** Everything that a loader of any of the files must give. */
    public static Counts verify(Tokenizer tokenizer, JsonNode cases) {
        assertThat(tokenizer.bosId())
                .isEqualTo(cases.get("bos").isNull() ? -1 : cases.get("bos").intValue());
        assertThat(tokenizer.eosIds()).contains(cases.get("eos").intValue());
        assertThat(tokenizer.dropsFirstSpace())
                .isEqualTo(cases.get("add_space_prefix").booleanValue());
        TokenizerGolden golden = new TokenizerGolden(tokenizer, cases);
        golden.specialTokens();
        golden.encoding();
        golden.singleBytes();
        golden.decoding();
        assertThat(golden.wrong).isEmpty();
        verifyLoneSurrogates(tokenizer);
        return new Counts(golden.ids, golden.streams, golden.bytes);
    }

    private void specialTokens() {
        cases.get("control_tokens").properties().forEach(token -> {
            assertThat(tokenizer.id(token.getKey())).isEqualTo(token.getValue().intValue());
            assertThat(tokenizer.isControl(token.getValue().intValue()))
                    .as(token.getKey())
                    .isTrue();
        });
        cases.get("user_defined_tokens").properties().forEach(token -> {
            assertThat(tokenizer.id(token.getKey())).isEqualTo(token.getValue().intValue());
            assertThat(tokenizer.isControl(token.getValue().intValue()))
                    .as(token.getKey())
                    .isFalse();
        });
    }

    private void encoding() {
        for (JsonNode c : cases.get("encode")) {
            String text = c.get("text").stringValue();
            compare(c, "ids", tokenizer.encode(text, false, true));
            compare(c, "ids_with_special", tokenizer.encode(text, true, true));
            compare(c, "ids_plain", tokenizer.encode(text, false, false));
        }
    }

    private void compare(JsonNode c, String field, int[] got) {
        int[] expected = Golden.ids(c.get(field));
        // Where sentencepiece and Hugging Face differ, both ways count; ids_plain has only sentencepiece's.
        JsonNode second = c.get("second_opinion");
        boolean either = second != null
                && (Arrays.equals(around(Golden.ids(second.get("ids")), field), got)
                        || Arrays.equals(around(Golden.ids(c.get("ids")), field), got));
        if (Arrays.equals(expected, got) || either) {
            ids++;
        } else {
            wrong.add(c.get("name").stringValue() + " " + field + ": expected " + Arrays.toString(expected) + ", got "
                    + Arrays.toString(got));
        }
    }

    /** The special tokens that the vocabulary adds, around ids. */
    private int[] around(int[] bare, String field) {
        List<Integer> all = new ArrayList<>();
        boolean special = field.equals("ids_with_special");
        if (special && cases.get("add_bos").booleanValue()) {
            all.add(cases.get("bos").intValue());
        }
        Arrays.stream(bare).forEach(all::add);
        if (special && cases.get("add_eos").booleanValue()) {
            all.add(cases.get("eos").intValue());
        }
        return all.stream().mapToInt(Integer::intValue).toArray();
    }

    private void singleBytes() {
        for (JsonNode c : cases.get("single_bytes")) {
            int id = c.get("id").intValue();
            byte[] own = tokenizer.bytes(id);
            IncrementalDetokenizer alone = new IncrementalDetokenizer(tokenizer, OutputForm.plain(false), false);
            String text = alone.push(id) + alone.finish();
            if (own.length == 1 && (own[0] & 0xFF) != c.get("byte").intValue()
                    || !text.equals(c.get("decoded").stringValue())) {
                wrong.add("byte " + c + ": " + Arrays.toString(own));
            } else {
                bytes++;
            }
        }
    }

    private void decoding() {
        for (String list : List.of("encode", "decode")) {
            for (JsonNode c : cases.get(list)) {
                stream(c, "", false);
                stream(c, "_skip_special", true);
            }
        }
        for (JsonNode c : cases.get("continuations")) {
            OutputText output = new OutputText(tokenizer, List.of(), false, OutputForm.plain(false), 0);
            List<String> pieces = new ArrayList<>();
            for (int id : Golden.ids(c.get("ids"))) {
                pieces.add(output.push(id));
            }
            expect("continuation", Golden.strings(c.get("pieces")), pieces);
            expect("continuation", c.get("decoded").stringValue(), String.join("", pieces) + output.finish());
            streams++;
        }
    }

    private void stream(JsonNode c, String suffix, boolean skipSpecial) {
        if (!c.has("decoded" + suffix)) {
            return;
        }
        String name = c.get("name").stringValue() + suffix;
        int[] all = Golden.ids(c.get("ids"));
        IncrementalDetokenizer detokenizer = new IncrementalDetokenizer(tokenizer, OutputForm.plain(skipSpecial), true);
        List<String> pieces = new ArrayList<>();
        for (int id : all) {
            pieces.add(detokenizer.push(id));
        }
        expect(name, Golden.strings(c.get("pieces" + suffix)), pieces);
        JsonNode tail = c.get("tail" + suffix);
        expect(name + " tail", tail == null ? "" : tail.stringValue(), detokenizer.finish());
        expect(
                name,
                c.get("decoded" + suffix).stringValue(),
                IncrementalDetokenizer.decode(tokenizer, all, skipSpecial));
        streams++;
    }

    private void expect(String name, Object expected, Object got) {
        if (!expected.equals(got)) {
            wrong.add(name + ": expected " + expected + ", got " + got);
        }
    }

    /** Lone surrogates are U+FFFD, and nothing else happens to them. */
    private static void verifyLoneSurrogates(Tokenizer tokenizer) {
        for (String broken : List.of("\uD83D", "a\uDC4Db", "\uDC4D\uD83D", "x\uD83D\uD83D\uDC4D")) {
            String defined = broken.replaceAll("[\\x{D800}-\\x{DFFF}]", "\uFFFD");
            assertThat(tokenizer.encode(broken, false, true)).isEqualTo(tokenizer.encode(defined, false, true));
        }
    }
}

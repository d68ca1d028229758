package io.millrace.worker.text;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.shared.output.ReasoningFormat;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.Test;

class OutputTextTest {

    /** Ids 0 to 255 are bytes, 256 is a control token "<c>", 257 and on are the given texts. */
    private record Bytes(List<String> texts, boolean dropsFirstSpace) implements Tokenizer {
        @Override
        public int[] encode(String text, boolean addSpecial, boolean parseSpecial) {
            byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
            int[] ids = new int[bytes.length];
            for (int i = 0; i < ids.length; i++) {
                ids[i] = bytes[i] & 0xFF;
            }
            return ids;
        }

        @Override
        public byte[] bytes(int id) {
            if (id < 256) {
                return new byte[] {(byte) id};
            }
            return (id == 256 ? "<c>" : texts.get(id - 257)).getBytes(StandardCharsets.UTF_8);
        }

        @Override
        public boolean isControl(int id) {
            return id == 256;
        }

        @Override
        public int vocabularySize() {
            return 257 + texts.size();
        }

        @Override
        public int id(String token) {
            return -1;
        }

        @Override
        public int bosId() {
            return -1;
        }

        @Override
        public int[] eosIds() {
            return new int[0];
        }

        @Override
        public long hash() {
            return 0;
        }
    }

    private static final Bytes BYTES = new Bytes(List.of(), false);

    private static List<String> pieces(OutputText output, String text) {
        List<String> pieces = new ArrayList<>();
        for (int id : BYTES.encode(text, false, false)) {
            pieces.add(output.push(id));
        }
        return pieces;
    }

    @Test
    void aSpaceStandsBetweenAControlTokenAndItsNeighbours() {
        OutputText spaced = new OutputText(
                BYTES, List.of(), false, new OutputForm(false, true, Set.of(), "", ReasoningFormat.NONE), 0);
        assertThat(spaced.push('a') + spaced.push(256) + spaced.push(256) + spaced.push('b') + spaced.push('c'))
                .isEqualTo("a <c> <c> bc");
        OutputText broken = new OutputText(
                BYTES, List.of(), false, new OutputForm(false, true, Set.of(), "", ReasoningFormat.NONE), 0);
        assertThat(broken.push(0xc3) + broken.push(256)).isEqualTo("\ufffd <c>");
        OutputText skipped = new OutputText(
                BYTES, List.of(), false, new OutputForm(true, true, Set.of(), "", ReasoningFormat.NONE), 0);
        assertThat(skipped.push('a') + skipped.push(256) + skipped.push('b')).isEqualTo("ab");
    }

    @Test
    void aCharacterComesWithItsLastByte() {
        OutputText output = new OutputText(BYTES, List.of(), false, OutputForm.plain(true), 0);
        assertThat(pieces(output, "a€")).containsExactly("a", "", "", "€");
        assertThat(output.finish()).isEmpty();
    }

    @Test
    void brokenBytesBecomeOneReplacementForEachMaximalSubpart() {
        OutputText output = new OutputText(BYTES, List.of(), false, OutputForm.plain(true), 0);
        assertThat(output.push(0xED) + output.push(0xA0) + output.push(0x80)).isEqualTo("\uFFFD\uFFFD\uFFFD");
        assertThat(output.push(0xE2) + output.push(0x82)).isEmpty();
        assertThat(output.push('x')).isEqualTo("\uFFFDx");
        assertThat(output.push(0xF0) + output.push(0x9F) + output.push(0x91)).isEmpty();
        assertThat(output.finish()).isEqualTo("\uFFFD");
    }

    @Test
    void textThatMayBecomeAStopStringIsHeldBack() {
        OutputText output = new OutputText(BYTES, List.of("abc"), false, OutputForm.plain(true), 0);
        assertThat(pieces(output, "xabab")).containsExactly("x", "", "", "ab", "");
        assertThat(output.push('c')).isEmpty();
        assertThat(output.matchedStop()).isEqualTo("abc");
        assertThat(output.push('z') + output.finish()).isEmpty();
    }

    @Test
    void heldBackTextIsDeliveredWhenTheAnswerEndsOtherwise() {
        OutputText output = new OutputText(BYTES, List.of("\n\nUser:"), false, OutputForm.plain(true), 0);
        assertThat(pieces(output, "ok\n\nUs")).containsExactly("o", "k", "", "", "", "");
        assertThat(output.finish()).isEqualTo("\n\nUs");
        assertThat(output.matchedStop()).isNull();
    }

    @Test
    void aStopStringInsideOneTokenCutsItAndMayBeIncluded() {
        Bytes tokenizer = new Bytes(List.of("one STOP two"), false);
        OutputText without = new OutputText(tokenizer, List.of("STOP"), false, OutputForm.plain(true), 0);
        OutputText with = new OutputText(tokenizer, List.of("STOP"), true, OutputForm.plain(true), 0);
        assertThat(without.push(257)).isEqualTo("one ");
        assertThat(with.push(257)).isEqualTo("one STOP");
        assertThat(with.matchedStop()).isEqualTo("STOP");
    }

    @Test
    void theMatchThatEndsFirstCountsAndThenTheLongest() {
        OutputText output = new OutputText(BYTES, List.of("bcd", "c", "abc"), false, OutputForm.plain(true), 0);
        assertThat(String.join("", pieces(output, "xabcd"))).isEqualTo("x");
        assertThat(output.matchedStop()).isEqualTo("abc");
    }

    @Test
    void stopStringsDoNotCountBeforeTheMinimumOfTokens() {
        OutputText output = new OutputText(BYTES, List.of("aa"), false, OutputForm.plain(true), 3);
        assertThat(String.join("", pieces(output, "aab"))).isEqualTo("aab");
        assertThat(output.matchedStop()).isNull();
        assertThat(String.join("", pieces(output, "aaa"))).isEmpty();
        assertThat(output.matchedStop()).isEqualTo("aa");
    }

    @Test
    void aControlTokenThatAReaderNeedsIsShown() {
        OutputForm form = new OutputForm(true, false, Set.of(256), "", ReasoningFormat.NONE);
        assertThat(new OutputText(BYTES, List.of(), false, form, 0).push(256)).isEqualTo("<c>");
    }

    @Test
    void whatThePromptEndedWithStandsBeforeTheText() {
        OutputForm form = new OutputForm(true, false, Set.of(), "<think>", ReasoningFormat.THINK);
        OutputText output = new OutputText(BYTES, List.of("<th"), false, form, 0);
        assertThat(String.join("", pieces(output, "ab"))).isEqualTo("<think>ab");
        assertThat(new OutputText(BYTES, List.of(), false, form, 0).finish()).isEqualTo("<think>");
    }

    @Test
    void reasoningIsCounted() {
        assertThat(reasoning("", "<think>ab</think>cd")).isEqualTo("<think>ab</think>".length());
        assertThat(reasoning("<think>", "ab</think>cd")).isEqualTo("ab</think>".length());
        assertThat(reasoning("<think>", "ab</thin")).isEqualTo("ab</thin".length());
        assertThat(reasoning("", "\n<think>ab")).isEqualTo("\n<think>ab".length());
        assertThat(reasoning("", "a<think>b</think>")).isZero();
        assertThat(reasoning("", "<thin")).isZero();
    }

    private static int reasoning(String prefix, String text) {
        OutputForm form = new OutputForm(true, false, Set.of(), prefix, ReasoningFormat.THINK);
        OutputText output = new OutputText(BYTES, List.of(), false, form, 0);
        pieces(output, text);
        return output.reasoningTokens();
    }

    @Test
    void controlTokensGiveTextOnlyWhenAskedFor() {
        assertThat(new OutputText(BYTES, List.of(), false, OutputForm.plain(true), 0).push(256))
                .isEmpty();
        assertThat(new OutputText(BYTES, List.of(), false, OutputForm.plain(false), 0).push(256))
                .isEqualTo("<c>");
    }

    @Test
    void theFirstSpaceIsDroppedOnlyWhereTheTextBegins() {
        Bytes tokenizer = new Bytes(List.of(" a"), true);
        assertThat(IncrementalDetokenizer.decode(tokenizer, new int[] {257, 257}, true))
                .isEqualTo("a a");
        assertThat(new OutputText(tokenizer, List.of(), false, OutputForm.plain(true), 0).push(257))
                .isEqualTo(" a");
    }

    /** Random texts and stops over a small alphabet: the pieces joined are the text up to the first match, found by search. */
    @Test
    void agreesWithASearchInTheWholeText() {
        Random random = new Random(7);
        int matches = 0;
        for (int round = 0; round < 20_000; round++) {
            String text = word(random, 1 + random.nextInt(20));
            List<String> stops = List.of(word(random, 1 + random.nextInt(4)), word(random, 1 + random.nextInt(5)));
            OutputText output = new OutputText(BYTES, stops, false, OutputForm.plain(true), 0);
            String joined = String.join("", pieces(output, text)) + output.finish();
            int end = Integer.MAX_VALUE;
            int start = text.length();
            for (String stop : stops) {
                int at = text.indexOf(stop);
                if (at >= 0 && (at + stop.length() < end || (at + stop.length() == end && at < start))) {
                    start = at;
                    end = at + stop.length();
                }
            }
            matches += start < text.length() ? 1 : 0;
            assertThat(joined).as("%s in %s", stops, text).isEqualTo(text.substring(0, start));
        }
        assertThat(matches).isBetween(1_000, 19_999);
    }

    private static String word(Random random, int length) {
        StringBuilder word = new StringBuilder();
        for (int i = 0; i < length; i++) {
            word.append("abé".charAt(random.nextInt(3)));
        }
        return word.toString();
    }
}

package io.millrace.worker.text.wordpiece;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.model.Golden;
import io.millrace.worker.model.gguf.GgufFile;
import io.millrace.worker.text.hub.FolderTokenizers;
import io.millrace.worker.text.hub.HubTokenizer;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;

/** WordPiece against Hugging Face's library, from vocab.txt and from GGUF. */
class WordPieceTokenizerTest {

    private static final Path FOLDER = Golden.path("encoders/bert-tiny");

    private static List<String> texts() {
        List<String> texts = new ArrayList<>(List.of(
                "",
                " ",
                "The river RUNS!",
                "unable playings runner's",
                "a\tb\nc\r\nd\u00a0e\u2028f\u3000g",
                "x\u0000y\ufffdz\u200dq\u00adw\ue000e",
                "Straße ÉCOLE naïve Ångström İstanbul ΣΑΣ",
                "日本語 テキスト 한국어 本",
                "й и\u0306 e\u0301",
                "[CLS] play [MASK]ing [SEP][PAD] [UNK] [cls] [sep",
                "$5.00+tax=<6>^`|~ \u2013\u20ac\u3002\u00bf\u00a1\u2026",
                "a".repeat(100) + " " + "a".repeat(101),
                "😀🏽 👩\u200d👩 \ud83d",
                "snowsnow snowing##ing ##s #"));
        Golden.json("encoders/bert-tiny/golden.json").get("texts").forEach((JsonNode t) -> texts.add(t.asString()));
        Random random = new Random(1);
        int[] pool = {' ', 'a', 'r', 'i', 'n', 's', 'E', '.', 0x301, 0x65e5, 0x1f600, 0xdf, 0xe9, 0x2014, '[', ']'};
        for (int i = 0; i < 300; i++) {
            StringBuilder text = new StringBuilder();
            for (int n = random.nextInt(40); n > 0; n--) {
                int c = random.nextInt(3) == 0 ? random.nextInt(0x590) : pool[random.nextInt(pool.length)];
                if (Character.isDefined(c) && Character.getType(c) != Character.SURROGATE) {
                    text.appendCodePoint(c);
                }
            }
            texts.add(text.toString());
        }
        return texts;
    }

    @Test
    void ids_equal_those_of_the_library_from_both_forms_of_the_vocabulary() {
        WordPieceTokenizer own = WordPieces.ofFolder(FOLDER);
        try (HubTokenizer oracle = (HubTokenizer) FolderTokenizers.open(FOLDER);
                GgufFile file = GgufFile.open(Golden.path("encoders/bert-tiny.gguf"))) {
            WordPieceTokenizer gguf = WordPieces.ofGguf(file.metadata());
            for (String text : texts()) {
                int[] expected = oracle.encode(text, true, true);
                assertThat(own.encode(text, true, true)).as("'%s'", text).isEqualTo(expected);
                assertThat(gguf.encode(text, true, true)).as("'%s'", text).isEqualTo(expected);
                assertThat(own.encode(text, false, false))
                        .as("'%s'", text)
                        .isEqualTo(oracle.encode(text, false, false));
            }
            assertThat(own.pairFrame()).usingRecursiveComparison().isEqualTo(oracle.pairFrame());
            assertThat(own.hash()).isEqualTo(gguf.hash());
        }
    }

    @Test
    void a_cased_vocabulary_keeps_case_and_accents(@TempDir Path folder) throws IOException {
        Files.writeString(folder.resolve("vocab.txt"), "[UNK]\n[CLS]\n[SEP]\nÉ\n##a\ne\n");
        Files.writeString(folder.resolve("tokenizer_config.json"), "{\"do_lower_case\": false}");
        WordPieceTokenizer cased = WordPieces.ofFolder(folder);
        assertThat(cased.encode("Éa éa", true, true)).containsExactly(1, 3, 4, 0, 2);
        assertThat(cased.bytes(4)).isEqualTo("a".getBytes(java.nio.charset.StandardCharsets.UTF_8));
    }

    @Test
    void a_vocabulary_without_its_special_tokens_is_refused(@TempDir Path folder) throws IOException {
        Files.writeString(folder.resolve("vocab.txt"), "a\nb\n[UNK]\n");
        MillraceException e = catchThrowableOfType(MillraceException.class, () -> WordPieces.ofFolder(folder));
        assertThat(e.code()).isEqualTo("MR-TEXT-007");
        assertThat(e.getMessage()).contains("[CLS]");
    }
}

package io.millrace.worker.text.hub;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.worker.text.Golden;
import io.millrace.worker.text.IncrementalDetokenizer;
import io.millrace.worker.text.Tokenizer;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/** Features of tokenizer.json that the golden vocabularies do not have, as Hugging Face's library treats them. */
class HubVariantsTest {

    @TempDir
    private Path folder;

    @Test
    void stripsNormalizersMetaspaceAndTemplatesAgreeWithTheReference() throws IOException {
        List<String> wrong = new ArrayList<>();
        int verified = 0;
        for (JsonNode variant : Golden.json("tokenizers/hub-variants.json")) {
            ObjectNode file =
                    (ObjectNode) Golden.json("tokenizers/" + variant.get("base").stringValue() + "/tokenizer.json");
            variant.get("patch").properties().forEach(field -> file.set(field.getKey(), field.getValue()));
            Files.writeString(folder.resolve("tokenizer.json"), file.toString());
            // Where both we and the library can read it, both must agree.
            for (boolean library : new boolean[] {false, true}) {
                Tokenizer tokenizer =
                        FolderTokenizers.json(folder.resolve("tokenizer.json"), new ModelFolder(folder), library);
                for (JsonNode c : variant.get("cases")) {
                    verify(wrong, variant.get("name").stringValue() + "/" + library, tokenizer, c);
                    verified += library ? 4 : 0;
                }
                if (tokenizer instanceof HubTokenizer hub) {
                    hub.close();
                }
            }
        }
        assertThat(wrong).isEmpty();
        assertThat(verified).isEqualTo((13 * 12 - 1) * 4);
    }

    private static void verify(List<String> wrong, String name, Tokenizer tokenizer, JsonNode c) {
        String text = c.get("text").stringValue();
        int[] ids = Golden.ids(c.get("ids"));
        compare(wrong, name, text, ids, tokenizer.encode(text, false, true));
        compare(wrong, name, text, Golden.ids(c.get("ids_with_special")), tokenizer.encode(text, true, true));
        String decoded = IncrementalDetokenizer.decode(tokenizer, ids, false);
        String visible = IncrementalDetokenizer.decode(tokenizer, ids, true);
        if (!decoded.equals(c.get("decoded").stringValue())
                || !visible.equals(c.get("decoded_skip_special").stringValue())) {
            wrong.add(name + " expected " + c + ", got \"" + decoded + "\", \"" + visible + "\"");
        }
    }

    private static void compare(List<String> wrong, String name, String text, int[] expected, int[] got) {
        if (!Arrays.equals(expected, got)) {
            wrong.add(name + " \"" + text + "\": expected " + Arrays.toString(expected) + ", got "
                    + Arrays.toString(got));
        }
    }
}

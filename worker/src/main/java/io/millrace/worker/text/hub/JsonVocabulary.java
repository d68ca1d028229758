package io.millrace.worker.text.hub;

import io.millrace.worker.text.PieceBytes;
import io.millrace.worker.text.vocab.PublishedPatterns;
import io.millrace.worker.text.vocab.TokenType;
import io.millrace.worker.text.vocab.Vocabulary;
import io.millrace.worker.text.vocab.Vocabulary.AddedRule;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * A tokenizer.json as a vocabulary of ours, where it is one: byte-level BPE with a pre-tokenizer that we know, or BPE over characters
 * with spaces as U+2581 and byte fallback. Ours is several times as fast as the native library, and takes time that is
 * proportional to the text whatever that is.
 */
final class JsonVocabulary {

    private final TokenizerFile file;
    private final ObjectNode root;
    private final JsonNode model;
    private final ModelFolder folder;

    private JsonVocabulary(TokenizerFile file, ModelFolder folder) {
        this.file = file;
        this.root = file.root();
        this.model = root.path("model");
        this.folder = folder;
    }

    /** Null: something in the file is not of a known kind. */
    static @Nullable Vocabulary of(TokenizerFile file, ModelFolder folder) {
        JsonVocabulary vocabulary = new JsonVocabulary(file, folder);
        String[] merges = vocabulary.merges();
        Vocabulary.Special special = vocabulary.special();
        if (merges == null || special == null || !vocabulary.isPlainModel()) {
            return null;
        }
        return vocabulary.model.path("byte_fallback").asBoolean(false)
                ? vocabulary.pieces(merges, special)
                : vocabulary.byteLevel(merges, special);
    }

    private @Nullable Vocabulary byteLevel(String[] merges, Vocabulary.Special special) {
        String pre = preTokenizer();
        Boolean nfc = nfc();
        if (pre == null
                || nfc == null
                || !model.path("unk_token").isNull()
                || !root.path("decoder").path("type").asString("").equals("ByteLevel")
                || root.path("added_tokens").valueStream().anyMatch(JsonVocabulary::changesByNfc)) {
            return null;
        }
        boolean ignoresMerges = model.path("ignore_merges").asBoolean(false);
        return read(
                Vocabulary.Kind.BYTE_PAIR,
                new Vocabulary.Cutting(pre, nfc, ignoresMerges),
                merges,
                special,
                new Vocabulary.Spaces(false, false, false, new byte[0]));
    }

    private @Nullable Vocabulary pieces(String[] merges, Vocabulary.Special special) {
        Boolean prefix = spacePrefix();
        List<JsonNode> decoders = TokenizerFile.flatten(root.path("decoder"), "decoders");
        if (prefix == null
                || prefix != file.dropsFirstSpace()
                || !TokenizerFile.has(decoders, "ByteFallback")
                || !TokenizerFile.has(decoders, "Replace")
                || model.path("ignore_merges").asBoolean(false)
                || !cutsNothing(root.path("pre_tokenizer"))
                || IntStream.range(0, 256).anyMatch(b -> file.id("<0x%02X>".formatted(b)) < 0)
                || root.path("added_tokens")
                        .valueStream()
                        .anyMatch(added -> added.path("normalized").asBoolean(true))) {
            return null;
        }
        return read(
                Vocabulary.Kind.SENTENCE_PIECE,
                Vocabulary.Cutting.named("default"),
                merges,
                special,
                new Vocabulary.Spaces(prefix, false, false, new byte[0]));
    }

    /** Whether a U+2581 is put before the text; null: spaces do not become U+2581, or something else happens. */
    private @Nullable Boolean spacePrefix() {
        boolean prefix = false;
        boolean replaced = false;
        for (JsonNode normalizer : TokenizerFile.flatten(root.path("normalizer"), "normalizers")) {
            switch (normalizer.path("type").asString("")) {
                case "", "Sequence" -> {}
                case "Prepend" -> {
                    if (prefix || !normalizer.path("prepend").asString("").equals("\u2581")) {
                        return null;
                    }
                    prefix = true;
                }
                case "Replace" -> {
                    if (replaced
                            || !normalizer
                                    .path("pattern")
                                    .path("String")
                                    .asString("")
                                    .equals(" ")
                            || !normalizer.path("content").asString("").equals("\u2581")) {
                        return null;
                    }
                    replaced = true;
                }
                default -> {
                    return null;
                }
            }
        }
        return replaced ? prefix : null;
    }

    /** Gemma's files cut at spaces, of which the normalizer has left none. */
    private static boolean cutsNothing(JsonNode preTokenizer) {
        return preTokenizer.isNull()
                || preTokenizer.path("type").asString("").equals("Split")
                        && preTokenizer
                                .path("pattern")
                                .path("String")
                                .asString("")
                                .equals(" ");
    }

    private boolean isPlainModel() {
        return model.path("type").asString("").equals("BPE")
                && model.path("vocab").isObject()
                && model.path("dropout").asDouble(0) == 0
                && model.path("continuing_subword_prefix").asString("").isEmpty()
                && model.path("end_of_word_suffix").asString("").isEmpty();
    }

    /** NFC does not change ASCII. */
    private static boolean changesByNfc(JsonNode added) {
        return added.path("normalized").asBoolean(true)
                && added.path("content").asString("").chars().anyMatch(c -> c >= 0x80);
    }

    private @Nullable Boolean nfc() {
        List<JsonNode> normalizers = TokenizerFile.flatten(root.path("normalizer"), "normalizers");
        boolean nfc = false;
        for (JsonNode normalizer : normalizers) {
            switch (normalizer.path("type").asString("")) {
                case "NFC" -> nfc = true;
                case "", "Sequence" -> {}
                default -> {
                    return null;
                }
            }
        }
        return nfc;
    }

    private @Nullable String preTokenizer() {
        List<String> stages = new ArrayList<>();
        for (JsonNode stage : TokenizerFile.flatten(root.path("pre_tokenizer"), "pretokenizers")) {
            switch (stage.path("type").asString("")) {
                case "Sequence" -> {}
                case "ByteLevel" -> {
                    if (stage.path("add_prefix_space").asBoolean(true)) {
                        return null;
                    }
                    if (stage.path("use_regex").asBoolean(true)) {
                        stages.add(PublishedPatterns.BYTE_LEVEL);
                    }
                }
                case "Digits" ->
                    stages.add(stage.path("individual_digits").asBoolean(false) ? PublishedPatterns.DIGITS : "");
                case "Split" -> {
                    boolean isolated = stage.path("behavior").asString("").equals("Isolated")
                            && !stage.path("invert").asBoolean(false);
                    stages.add(isolated ? stage.path("pattern").path("Regex").asString("") : "");
                }
                default -> {
                    return null;
                }
            }
        }
        return PublishedPatterns.name(stages);
    }

    private String @Nullable [] merges() {
        JsonNode merges = model.path("merges");
        String[] pairs = new String[merges.size()];
        for (int i = 0; i < pairs.length; i++) {
            JsonNode merge = merges.path(i);
            if (merge.isString()) {
                pairs[i] = merge.stringValue();
            } else {
                pairs[i] = merge.path(0).asString("") + " " + merge.path(1).asString("");
            }
            if (pairs[i].indexOf(' ') < 1 || pairs[i].indexOf(' ') != pairs[i].lastIndexOf(' ')) {
                return null;
            }
        }
        return pairs;
    }

    /** Null where the file puts other tokens around a text than BOS and EOS. */
    private Vocabulary.@Nullable Special special() {
        int bos = folder.bos(file::id);
        int[] ends = folder.eos(file::id);
        int eos = ends.length == 0 ? -1 : ends[0];
        List<Integer> before = new ArrayList<>();
        List<Integer> after = new ArrayList<>();
        boolean understood = template(before, after)
                && (before.isEmpty() || before.equals(List.of(bos)))
                && (after.isEmpty() || after.equals(List.of(eos)));
        if (!understood && !folder.saysWhatToAdd()) {
            return null;
        }
        return new Vocabulary.Special(
                bos,
                eos,
                ends,
                false,
                model.path("unk_token").isString()
                        ? file.id(model.path("unk_token").stringValue())
                        : -1,
                folder.adds(!before.isEmpty(), "bos_token", file::id),
                folder.adds(!after.isEmpty(), "eos_token", file::id));
    }

    /** Whether the post-processor is understood; the tokens it puts around a text. */
    private boolean template(List<Integer> before, List<Integer> after) {
        for (JsonNode processor : TokenizerFile.flatten(root.path("post_processor"), "processors")) {
            switch (processor.path("type").asString("")) {
                case "", "Sequence", "ByteLevel" -> {}
                case "TemplateProcessing" -> {
                    List<Integer> side = before;
                    for (JsonNode part : processor.path("single")) {
                        if (part.has("Sequence")) {
                            side = after;
                            continue;
                        }
                        String name = part.path("SpecialToken").path("id").asString("");
                        for (JsonNode id :
                                processor.path("special_tokens").path(name).path("ids")) {
                            side.add(id.asInt(-1));
                        }
                    }
                }
                default -> {
                    return false;
                }
            }
        }
        return true;
    }

    private Vocabulary read(
            Vocabulary.Kind kind,
            Vocabulary.Cutting cutting,
            String[] merges,
            Vocabulary.Special special,
            Vocabulary.Spaces spaces) {
        String[] tokens = new String[file.size()];
        int[] types = new int[tokens.length];
        Arrays.fill(tokens, "");
        Arrays.fill(types, TokenType.UNUSED);
        file.modelIds().forEach((token, id) -> {
            tokens[id] = token;
            types[id] = kind == Vocabulary.Kind.SENTENCE_PIECE && PieceBytes.byteValue(token) >= 0
                    ? TokenType.BYTE
                    : TokenType.NORMAL;
        });
        Map<Integer, AddedRule> added = new HashMap<>();
        for (JsonNode token : root.path("added_tokens")) {
            String content = token.path("content").asString("");
            if (content.isEmpty()) {
                continue;
            }
            int id = file.id(content);
            tokens[id] = content;
            types[id] = token.path("special").asBoolean(false) ? TokenType.CONTROL : TokenType.USER_DEFINED;
            added.put(id, ModelFolder.rule(token));
        }
        return new Vocabulary(
                new Vocabulary.Source(file.path(), "model.vocab", "added_tokens", "scores", "model.merges"),
                kind,
                cutting,
                tokens,
                types,
                new float[0],
                merges,
                special,
                spaces,
                Map.copyOf(added));
    }
}

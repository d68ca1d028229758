package io.millrace.worker.text.vocab;

import io.millrace.shared.error.MillraceException;
import java.util.List;

/** The pre-tokenizers by their {@code tokenizer.ggml.pre} names: the patterns that the models' makers publish with them. */
final class PreTokenizers {

    private static final String SPACE = "\\p{IsWhite_Space}";
    private static final String WORD_ENDINGS = "(?iu:'s|'t|'re|'ve|'m|'ll|'d)";
    private static final String SPACES_BEFORE_WORD = SPACE + "+(?!\\P{IsWhite_Space})|" + SPACE + "+";
    private static final String LINES_AND_SPACES = "|" + SPACE + "*[\\r\\n]+|" + SPACES_BEFORE_WORD;

    private static final String GPT2 =
            "'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^" + SPACE + "\\p{L}\\p{N}]+|" + SPACES_BEFORE_WORD;

    private static final String CASED_PREFIX = "[^\\r\\n\\p{L}\\p{N}]?";
    private static final String UPPER = "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]";
    private static final String LOWER = "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]";

    /** Letters that have a case, as DeepSeek-LLM lists them. */
    private static final String DEEPSEEK_LETTERS =
            "A-Za-z\\x{B5}\\x{C0}-\\x{D6}\\x{D8}-\\x{F6}\\x{F8}-\\x{1BA}\\x{1BC}-\\x{1BF}\\x{1C4}-\\x{293}"
                    + "\\x{295}-\\x{2AF}\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37B}-\\x{37D}\\x{37F}\\x{386}\\x{388}-\\x{38A}"
                    + "\\x{38C}\\x{38E}-\\x{3A1}\\x{3A3}-\\x{3F5}\\x{3F7}-\\x{481}\\x{48A}-\\x{52F}\\x{531}-\\x{556}"
                    + "\\x{10A0}-\\x{10C5}\\x{13A0}-\\x{13F5}\\x{13F8}-\\x{13FD}\\x{1C90}-\\x{1CBA}\\x{1CBD}-\\x{1CBF}"
                    + "\\x{1D00}-\\x{1D2B}\\x{1D6B}-\\x{1D77}\\x{1D79}-\\x{1D9A}\\x{1E00}-\\x{1F15}\\x{1F18}-\\x{1F1D}"
                    + "\\x{1F20}-\\x{1F45}\\x{1F48}-\\x{1F4D}\\x{1F50}-\\x{1F57}\\x{1F59}\\x{1F5B}\\x{1F5D}"
                    + "\\x{1F5F}-\\x{1F7D}\\x{1F80}-\\x{1FB4}\\x{1FB6}-\\x{1FBC}\\x{1FBE}\\x{1FC2}-\\x{1FC4}"
                    + "\\x{1FC6}-\\x{1FCC}\\x{1FD0}-\\x{1FD3}\\x{1FD6}-\\x{1FDB}\\x{1FE0}-\\x{1FEC}\\x{1FF2}-\\x{1FF4}"
                    + "\\x{1FF6}-\\x{1FFC}\\x{2102}\\x{2107}\\x{210A}-\\x{2113}\\x{2115}\\x{2119}-\\x{211D}\\x{2124}"
                    + "\\x{2126}\\x{2128}\\x{212A}-\\x{212D}\\x{212F}-\\x{2134}\\x{2139}\\x{213C}-\\x{213F}"
                    + "\\x{2145}-\\x{2149}\\x{214E}\\x{2183}\\x{2184}\\x{2C00}-\\x{2C7B}\\x{2C7E}-\\x{2CE4}"
                    + "\\x{2CEB}-\\x{2CEE}\\x{2CF2}\\x{2CF3}\\x{A640}-\\x{A66D}\\x{A680}-\\x{A69B}\\x{A722}-\\x{A76F}"
                    + "\\x{A771}-\\x{A787}\\x{A78B}-\\x{A78E}\\x{AB70}-\\x{ABBF}\\x{FB00}-\\x{FB06}\\x{FB13}-\\x{FB17}"
                    + "\\x{FF21}-\\x{FF3A}\\x{FF41}-\\x{FF5A}\\x{10400}-\\x{1044F}\\x{104B0}-\\x{104D3}"
                    + "\\x{104D8}-\\x{104FB}\\x{10C80}-\\x{10CB2}\\x{10CC0}-\\x{10CF2}\\x{118A0}-\\x{118DF}"
                    + "\\x{1E900}-\\x{1E943}";

    private static final String DEEPSEEK_CJK = "[\\u4E00-\\u9FA5\\u0800-\\u4E00\\uAC00-\\uD7FF]+";
    private static final String CJK = "[\\u4E00-\\u9FA5\\u3040-\\u309F\\u30A0-\\u30FF]+";
    private static final String ASCII_WORD = "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+";
    private static final String BLOOM = " ?[^(" + SPACE + "|.,!?\\u2026\\u3002\\uFF0C\\u3001\\u0964\\u06D4\\u060C)]+";

    private PreTokenizers() {}

    /** The vocabulary's, with what it says itself. */
    static PreTokenizer of(Vocabulary vocabulary) {
        Vocabulary.Cutting cutting = vocabulary.cutting();
        PreTokenizer named = byName(vocabulary.source().file(), cutting.pre());
        return named.with(
                cutting.nfc() != null ? cutting.nfc() : named.nfc(),
                cutting.ignoreMerges() != null ? cutting.ignoreMerges() : named.ignoreMerges());
    }

    /**
     * @param file for messages
     * @throws MillraceException MR-TEXT-003 a name that is not known
     */
    static PreTokenizer byName(String file, String pre) {
        return switch (pre) {
            case "gpt-2",
                    "phi-2",
                    "mpt",
                    "olmo",
                    "jais",
                    "jina-es",
                    "jina-de",
                    "jina-v2-es",
                    "jina-v2-de",
                    "gigachat",
                    "a.x-4.0",
                    "mellum",
                    "modern-bert",
                    "exaone4",
                    "trillion",
                    "granite-docling" -> plain(GPT2);
            case "smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b", "mellum2" ->
                plain("\\p{N}", GPT2);
            case "llama-bpe",
                    "llama3",
                    "llama-v3",
                    "falcon3",
                    "falcon-h1",
                    "pixtral",
                    "midm-2.0",
                    "lfm2",
                    "jina-v5-nano" -> new PreTokenizer(List.of(digits("\\p{N}{1,3}", "\\p{L}", "")), false, true, true);
            case "minicpm5" ->
                new PreTokenizer(List.of("\\p{N}{1,3}", digits("\\p{N}+", "\\p{L}", "")), false, true, false);
            case "dbrx", "smaug-bpe", "glm4", "chatglm-bpe" -> plain(digits("\\p{N}{1,3}", "\\p{L}", ""));
            case "qwen2", "deepseek-r1-qwen" -> nfc(digits("\\p{N}", "\\p{L}", ""));
            case "stablelm2", "hunyuan", "solar-open", "kormo", "f2llmv2", "megrez", "grok-2" ->
                plain(digits("\\p{N}", "\\p{L}", ""));
            case "laguna" -> plain("[^\\n]+|\\n+", digits("\\p{N}", "\\p{L}", ""));
            case "qwen35" -> nfc(digits("\\p{N}", "[\\p{L}\\p{M}]", "\\p{M}"));
            case "tekken" -> new PreTokenizer(List.of(cased("", "\\p{N}")), false, true, true);
            case "gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2" ->
                plain(cased(WORD_ENDINGS + "?", "\\p{N}{1,3}"));
            default -> rarer(file, pre);
        };
    }

    private static PreTokenizer rarer(String file, String pre) {
        return switch (pre) {
            case "default" -> plain("[\\p{P}$+<=>^~|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]");
            case "falcon" -> plain("[\\p{P}$+<=>^~|`]+", GPT2, "[0-9][0-9][0-9]");
            case "deepseek-llm" -> deepseekLlm();
            case "deepseek-coder" -> plain("[\\r\\n]", SPACE + "?\\p{L}+", SPACE + "?\\p{P}+", DEEPSEEK_CJK, "\\p{N}");
            case "deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4" ->
                plain("\\p{N}{1,3}", CJK, punctuated(" ?[\\p{P}\\p{S}]+[\\r\\n]*" + LINES_AND_SPACES));
            case "spark2_5" ->
                plain("\\p{N}{1,3}", CJK, punctuated(" ?[\\p{P}\\p{S}]+|[\\r\\n]|" + SPACES_BEFORE_WORD), "\\p{N}");
            case "youtu" -> youtu();
            case "poro-chat", "bloom", "gpt3-finnish" -> plain(BLOOM);
            case "viking" -> plain(BLOOM, "\\p{N}");
            case "chameleon" -> chameleon();
            case "jais-2" -> plain(jais2());
            case "bailingmoe", "bailingmoe2", "llada-moe" ->
                plain("'(?iu:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^" + SPACE
                        + "\\p{L}\\p{N}]+[\\r\\n]*|" + SPACE + "*[\\r\\n]|" + SPACES_BEFORE_WORD);
            case "seed-coder" ->
                plain(WORD_ENDINGS + "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^" + SPACE + "\\p{L}\\p{N}\\r\\n]+"
                        + LINES_AND_SPACES);
            case "ufakzeka" ->
                plain("[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^" + SPACE + "\\p{L}\\p{N}]+[\\r\\n]*"
                        + LINES_AND_SPACES);
            default ->
                throw Vocabulary.unsupported("The pre-tokenizer of " + file + ", tokenizer.ggml.pre \"" + pre
                        + "\", is not known: how it cuts text into words cannot be guessed. docs/models.md lists those"
                        + " that are. Use the model's safetensors folder, whose tokenizer.json says it.");
        };
    }

    private static PreTokenizer plain(String... patterns) {
        return new PreTokenizer(List.of(patterns), false, false, false);
    }

    private static PreTokenizer nfc(String pattern) {
        return new PreTokenizer(List.of(pattern), true, false, false);
    }

    /** The Llama 3 family: how digits group, what a letter is, what else is no symbol. */
    private static String digits(String digits, String letter, String notSymbol) {
        return WORD_ENDINGS + "|[^\\r\\n\\p{L}\\p{N}]?" + letter + "+|" + digits + "| ?[^" + SPACE + "\\p{L}"
                + notSymbol + "\\p{N}]+[\\r\\n]*" + LINES_AND_SPACES;
    }

    /** The o200k family: words end where lower case meets upper. */
    private static String cased(String ending, String digits) {
        return CASED_PREFIX + UPPER + "*" + LOWER + "+" + ending + "|" + CASED_PREFIX + UPPER + "+" + LOWER + "*"
                + ending + "|" + digits + "| ?[^" + SPACE + "\\p{L}\\p{N}]+[\\r\\n/]*" + LINES_AND_SPACES;
    }

    /** DeepSeek-V3's family: a sign with the Latin word after it, a word with the sign before it, signs, spaces. */
    private static String punctuated(String rest) {
        return ASCII_WORD + "|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+|" + rest;
    }

    private static PreTokenizer deepseekLlm() {
        return plain(
                "[\\r\\n]",
                SPACE + "?[" + DEEPSEEK_LETTERS + "]+",
                SPACE + "?[!-/:-~\\uFF01-\\uFF0F\\uFF1A-\\uFF5E\\u2018-\\u201F\\u3000-\\u3002]+",
                // Starts only where the run starts: otherwise every space of a run would try the rest of it.
                "(?<!" + SPACE + ")" + SPACE + "++\\z",
                DEEPSEEK_CJK,
                "\\p{N}");
    }

    private static PreTokenizer youtu() {
        return new PreTokenizer(
                List.of(
                        "[\\uAC00-\\uD7A3\\u3131-\\u318E]+|[\\uFF01\\u2026\\u201C\\u201D\\u2018\\u2019\\u2014\\uFF1A\\uFF1B\\uFF0C"
                                + "\\u3001-\\u303F\\uFE30-\\uFE4F]+|[\\u3105-\\u312F]+|" + CJK,
                        cased(WORD_ENDINGS + "?", "\\p{N}")),
                false,
                true,
                false);
    }

    private static PreTokenizer chameleon() {
        return new PreTokenizer(
                List.of(
                        "<sentinel:[0-9]+>",
                        "IMGIMG[A-I]{1,4}Z",
                        "[\\t\\n]|    |  ",
                        "\\p{N}",
                        "[\\p{P}!-/:-@\\[-`{-~]",
                        GPT2),
                false,
                false,
                true);
    }

    /** Llama 3's rule, with spaces in powers of two. */
    private static String jais2() {
        String single = "|" + SPACE + "{1,2}(?!\\P{IsWhite_Space})|" + SPACE;
        StringBuilder pattern = new StringBuilder(digits("\\p{N}{1,3}", "\\p{L}", ""));
        pattern.setLength(pattern.length() - SPACES_BEFORE_WORD.length() - 1);
        for (int length = 512; length >= 4; length /= 2) {
            pattern.append('|').append(SPACE).append('{').append(length).append("}(?!\\P{IsWhite_Space})");
        }
        return pattern.append(single).toString();
    }
}

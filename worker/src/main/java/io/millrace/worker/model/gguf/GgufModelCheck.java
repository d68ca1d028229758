package io.millrace.worker.model.gguf;

import io.millrace.worker.model.weights.WeightTensor;
import java.util.List;

/** Whether a sound GGUF container can be a language model at all: what would later be a division by zero or an endless loop. */
public final class GgufModelCheck {

    private static final int MAX_BLOCKS = 4096;

    private GgufModelCheck() {}

    /** Throws MR-GGUF-005, -006 or -007 naming the key or tensor that is missing or wrong. */
    public static void validate(GgufFile file) {
        String arch = file.string("general.architecture");
        long parts = file.integer("split.count", 1);
        if (parts > file.partCount()) {
            throw file.unfit("it is part " + (file.integer("split.no", 0) + 1) + " of " + parts
                    + " of a split model, opened without the others");
        }
        for (WeightTensor tensor : file.tensors()) {
            if (tensor.elements() == 0) {
                throw file.unfit("tensor " + tensor.name() + " is empty: one of its dimensions is 0");
            }
        }
        file.intAtLeast(arch + ".embedding_length", 1);
        file.intAtLeast(arch + ".context_length", 1);
        if (file.metadata().get(arch + ".attention.head_count") instanceof long[] perLayer) {
            for (long heads : perLayer) {
                if (heads < 0) {
                    throw file.unfit(arch + ".attention.head_count holds " + heads);
                }
            }
        } else {
            file.intAtLeast(arch + ".attention.head_count", 1);
        }
        checkBlocks(file, arch);
        checkVocabulary(file);
    }

    private static void checkBlocks(GgufFile file, String arch) {
        String key = arch + ".block_count";
        long blocks = file.integer(key);
        if (blocks < 0 || blocks > MAX_BLOCKS) {
            throw file.unfit("metadata key " + key + " is " + blocks + "; at most " + MAX_BLOCKS + " are accepted");
        }
        for (long i = 0; i < blocks; i++) {
            String prefix = "blk." + i + ".";
            if (file.names().stream().noneMatch(n -> n.startsWith(prefix))) {
                throw file.unfit("metadata key " + key + " is " + blocks + ", but there is no tensor of block " + i);
            }
        }
    }

    private static void checkVocabulary(GgufFile file) {
        List<String> tokens = file.strings("tokenizer.ggml.tokens");
        long[] embedding = file.tensor("token_embd.weight").shape();
        if (embedding.length != 2) {
            throw file.unfit("tensor token_embd.weight has " + embedding.length + " dimensions instead of 2");
        }
        // Converters pad the token list together with the embedding's rows, so the two always agree.
        if (tokens.size() != embedding[0]) {
            throw file.unfit("tokenizer.ggml.tokens has " + tokens.size() + " tokens, token_embd.weight has "
                    + embedding[0] + " rows");
        }
        if (file.hasKey("tokenizer.ggml.token_type")
                && file.integers("tokenizer.ggml.token_type").length != tokens.size()) {
            throw file.unfit("tokenizer.ggml.tokens has " + tokens.size() + " tokens, tokenizer.ggml.token_type has "
                    + file.integers("tokenizer.ggml.token_type").length + " entries");
        }
    }
}

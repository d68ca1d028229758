package io.millrace.worker.model.quant;

import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;

/**
 * How one {@code config_groups} entry of compressed-tensors quantises its weights.
 *
 * @param targets "Linear", module names, or {@code re:} and a pattern
 * @param bits of a value
 * @param floating fp8 instead of integers
 * @param symmetric no zeros
 * @param groupSize columns of a group; 0: none
 * @param block rows and columns of a block; null: none
 */
record CompressedScheme(
        List<String> targets, int bits, boolean floating, boolean symmetric, int groupSize, int @Nullable [] block) {

    private static final String METHOD = "compressed-tensors";
    private static final Set<String> STRATEGIES = Set.of("tensor", "channel", "group", "block");
    private static final int MAX_PATTERN_STEPS = 1_000_000;

    static CompressedScheme read(JsonNode group, QuantErrors errors) {
        Settings weights = new Settings(group.path("weights"), errors);
        if (!weights.root().isObject()) {
            throw errors.config("config_groups", "has weights that are no object");
        }
        int said = weights.groupSize(0, "group_size");
        String strategy = weights.text(said > 0 ? "group" : said < 0 ? "channel" : "tensor", "strategy");
        if (!STRATEGIES.contains(strategy)) {
            throw errors.option(METHOD, "strategy", strategy, "tensor, channel, group, block");
        }
        int bits = weights.integer(8, "num_bits");
        String type = weights.text("int", "type");
        boolean floating = type.equals("float");
        if (floating ? bits != 8 : !type.equals("int") || bits != 2 && bits != 4 && bits != 8) {
            throw errors.option(
                    METHOD, "weights", type + " of " + bits + " bits", "float of 8, int of 2, 4 and 8 bits");
        }
        boolean grouped = strategy.equals("group");
        int groupSize = grouped ? said : 0;
        int[] block = strategy.equals("block") ? weights.pair("block_structure") : null;
        if (grouped && groupSize <= 0 || strategy.equals("block") && block == null) {
            throw errors.config("config_groups", "has strategy " + strategy + " without its size");
        }
        List<String> targets = group.path("targets").isArray()
                ? group.path("targets").values().stream()
                        .map(target -> target.asString(""))
                        .toList()
                : List.of();
        return new CompressedScheme(targets, bits, floating, weights.flag("symmetric", true), groupSize, block);
    }

    /** How closely it names the module: 0 not at all, 1 its class, 2 by a pattern, 3 itself. */
    int closeness(String module, QuantErrors errors) {
        int closest = 0;
        for (String target : targets) {
            int how = 0;
            if (target.equals(module)) {
                how = 3;
            } else if (target.startsWith("re:")) {
                how = BoundedPattern.lookingAt(target.substring(3), module, MAX_PATTERN_STEPS, errors) ? 2 : 0;
            } else if (target.equals("Linear")) {
                how = 1;
            }
            closest = Math.max(closest, how);
        }
        return closest;
    }

    /** As in "int 4 bit, groups of 32". */
    String described() {
        String spread = block != null
                ? ", blocks of " + block[0] + " x " + block[1]
                : groupSize > 0 ? ", groups of " + groupSize : "";
        return (floating ? "fp8" : "int " + bits + " bit") + spread;
    }
}

package io.millrace.worker.model.quant;

import io.millrace.worker.model.quant.Grouped.Layout;
import io.millrace.worker.model.weights.WeightTensor;
import java.util.Locale;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** AWQ and GPTQ: {@code qweight}, {@code qzeros}, {@code scales} and, of GPTQ, {@code g_idx}. */
final class WordFormat implements Format {

    private static final Set<String> PARTS = Set.of("qweight", "qzeros", "scales", "g_idx");

    private final Layout layout;
    private final int bits;
    private final int groupSize;
    private final int zeroOffset;
    /** Modules may have bits and groups of their own. */
    private final boolean perModule;

    private final boolean needsIndex;

    private WordFormat(Layout layout, int bits, int groupSize, int zeroOffset, boolean perModule, boolean needsIndex) {
        this.layout = layout;
        this.bits = bits;
        this.groupSize = groupSize;
        this.zeroOffset = zeroOffset;
        this.perModule = perModule;
        this.needsIndex = needsIndex;
    }

    static Format awq(Settings settings) {
        int bits = settings.integer(4, "bits", "w_bit");
        if (bits != 4) {
            throw settings.errors().option("awq", "bits", Integer.toString(bits), "4");
        }
        String version = settings.text("gemm", "version").toLowerCase(Locale.ROOT);
        if (!version.equals("gemm")) {
            throw settings.errors().option("awq", "version", version, "gemm");
        }
        String backend = settings.text("autoawq", "backend");
        if (!backend.equals("autoawq")) {
            throw settings.errors().option("awq", "backend", backend, "autoawq");
        }
        return new WordFormat(Layout.AWQ, bits, settings.groupSize(128, "group_size", "q_group_size"), 0, false, false);
    }

    static Format gptq(Settings settings) {
        int bits = settings.integer(4, "bits", "w_bit");
        if (bits != 2 && bits != 4 && bits != 8) {
            throw settings.errors().option("gptq", "bits", Integer.toString(bits), "2, 4, 8");
        }
        if (settings.flag("is_marlin_format", false)) {
            throw settings.errors().option("gptq", "is_marlin_format", "true", "gptq, gptq_v2");
        }
        String format = settings.text("gptq", "checkpoint_format");
        if (!format.equals("gptq") && !format.equals("gptq_v2")) {
            throw settings.errors().option("gptq", "checkpoint_format", format, "gptq, gptq_v2");
        }
        return new WordFormat(
                Layout.GPTQ,
                bits,
                settings.groupSize(128, "group_size"),
                // The first version stores zeros less one.
                format.equals("gptq") ? 1 : 0,
                settings.root().path("dynamic").isObject(),
                settings.flag("desc_act", false));
    }

    @Override
    public Set<String> parts() {
        return PARTS;
    }

    @Override
    public boolean quantised(Parts parts) {
        return PARTS.stream().anyMatch(parts::has);
    }

    @Override
    public String name() {
        return layout + " " + bits + " bit, " + (groupSize < 0 ? "whole rows" : "groups of " + groupSize);
    }

    @Override
    public WeightTensor read(Parts parts) {
        WeightTensor codes = parts.matrix("qweight", Parts.INT32);
        WeightTensor scales = parts.matrix("scales", Parts.FLOATS);
        WeightTensor zeros = parts.matrix("qzeros", Parts.INT32);
        int out = Parts.columns(scales);
        int groups = Parts.rows(scales);
        int width = perModule ? Math.max(1, 32 * Parts.columns(zeros) / out) : bits;
        if (width != 2 && width != 4 && width != 8) {
            throw QuantErrors.tensor(
                    zeros.described(), "has codes of " + width + " bits where 2, 4 or 8 are supported");
        }
        int per = 32 / width;
        int in = Parts.rows(codes) * (layout == Layout.AWQ ? 1 : per);
        int size = groupSize(in, groups);
        if (Math.ceilDiv(in, size) != groups) {
            throw QuantErrors.tensor(
                    scales.described(),
                    "has " + groups + " groups, but " + in + " inputs in groups of " + size + " are "
                            + Math.ceilDiv(in, size));
        }
        if (out % per != 0) {
            throw QuantErrors.tensor(scales.described(), "has " + out + " outputs, not a multiple of " + per);
        }
        Parts.checkShape(codes, Parts.rows(codes), layout == Layout.AWQ ? out / per : out);
        Parts.checkShape(zeros, groups, out / per);
        WeightTensor index = index(parts, in);
        return WeightTensor.packed(
                parts.weightName(),
                new long[] {out, in},
                codes.data(),
                codes.file(),
                new Grouped(
                        new Grouped.Stored(
                                layout, width, out, in, size, groups, codes, scales, zeros, zeroOffset, index),
                        name()));
    }

    private int groupSize(int in, int groups) {
        if (perModule) {
            return Math.ceilDiv(in, groups);
        }
        return groupSize < 0 ? in : groupSize;
    }

    private @Nullable WeightTensor index(Parts parts, int in) {
        if (layout == Layout.AWQ) {
            return null;
        }
        WeightTensor index = needsIndex ? parts.get("g_idx", Parts.INT32) : parts.orNull("g_idx", Parts.INT32);
        if (index != null) {
            Parts.checkShape(index, in);
        }
        return index;
    }
}

package io.millrace.worker.model.quant;

import io.millrace.worker.model.quant.Grouped.Layout;
import io.millrace.worker.model.weights.DType;
import io.millrace.worker.model.weights.Dequantizer;
import io.millrace.worker.model.weights.WeightTensor;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;

/** compressed-tensors: fp8 and int8 values with scales, and integers packed into 32-bit words. */
final class CompressedFormat implements Format {

    private static final Set<String> PARTS = Set.of(
            "weight",
            "weight_packed",
            "weight_scale",
            "weight_zero_point",
            "weight_shape",
            "weight_g_idx",
            "input_scale",
            "input_zero_point",
            "output_scale",
            "output_zero_point");
    private static final String METHOD = "compressed-tensors";
    private static final String SUPPORTED =
            "float-quantized, int-quantized, naive-quantized, pack-quantized, mixed-precision, dense";
    private static final List<DType> ZEROS = List.of(DType.I32, DType.I8);

    private final QuantErrors errors;
    private final List<CompressedScheme> schemes = new ArrayList<>();

    CompressedFormat(Settings settings) {
        this.errors = settings.errors();
        supported("format", settings.text("dense", "format"));
        String sparse = new Settings(settings.root().path("sparsity_config"), errors).text("dense", "format");
        if (!sparse.equals("dense")) {
            throw errors.option(METHOD, "sparsity_config", sparse, "dense");
        }
        JsonNode groups = settings.root().path("config_groups");
        for (JsonNode group : groups.isObject() ? groups.values() : List.<JsonNode>of()) {
            supported("format of a group", new Settings(group, errors).text("dense", "format"));
            // A group may be of activations alone.
            if (group.hasNonNull("weights")) {
                schemes.add(CompressedScheme.read(group, errors));
            }
        }
    }

    private void supported(String key, String format) {
        if (!List.of(SUPPORTED.split(", ")).contains(format)) {
            throw errors.option(METHOD, key, format, SUPPORTED);
        }
    }

    @Override
    public Set<String> parts() {
        return PARTS;
    }

    @Override
    public boolean quantised(Parts parts) {
        return parts.has("weight_packed")
                || parts.has("weight_scale")
                || Format.holdsCodes(parts, DType.F8_E4M3, DType.F8_E5M2, DType.I8, DType.U8);
    }

    @Override
    public String name() {
        return METHOD + (schemes.isEmpty() ? "" : " " + schemes.getFirst().described());
    }

    @Override
    public WeightTensor read(Parts parts) {
        CompressedScheme scheme = scheme(parts.module());
        boolean packed = parts.has("weight_packed") || !parts.has("weight") && parts.has("weight_shape");
        return packed ? packed(parts, scheme) : plain(parts, scheme);
    }

    private CompressedScheme scheme(String module) {
        CompressedScheme best = null;
        int closest = 0;
        for (CompressedScheme scheme : schemes) {
            // The only one is meant even where its targets are classes that we do not know.
            int how = schemes.size() == 1 ? 1 : scheme.closeness(module, errors);
            if (how > closest) {
                closest = how;
                best = scheme;
            }
        }
        if (best == null) {
            throw errors.config("config_groups", "has no entry for " + module + ", which is quantised");
        }
        return best;
    }

    private WeightTensor plain(Parts parts, CompressedScheme scheme) {
        WeightTensor values = parts.matrix("weight", List.of(scheme.floating() ? DType.F8_E4M3 : DType.I8));
        int out = Parts.rows(values);
        int in = Parts.columns(values);
        WeightTensor scales = parts.get("weight_scale", Parts.FLOATS);
        ScaleBlocks blocks = ScaleBlocks.of(scales, out, in, scheme.block(), scheme.groupSize());
        WeightTensor zeros = null;
        if (!scheme.symmetric()) {
            zeros = parts.get("weight_zero_point", List.of(DType.I8));
            Parts.checkShape(zeros, scales.shape());
        }
        return WeightTensor.packed(
                parts.weightName(),
                values.shape(),
                values.data(),
                values.file(),
                new Scaled(
                        new Scaled.Stored(values, scales, zeros, blocks.rows(), blocks.columns(), 1),
                        METHOD + " " + scheme.described()));
    }

    private WeightTensor packed(Parts parts, CompressedScheme scheme) {
        WeightTensor codes = parts.matrix("weight_packed", Parts.INT32);
        if (scheme.floating()) {
            throw QuantErrors.tensor(codes.described(), "is packed, but the config says floats");
        }
        WeightTensor shape = parts.get("weight_shape", List.of(DType.I64, DType.I32));
        Parts.checkShape(shape, 2);
        float[] sizes = Dequantizer.all(shape);
        int out = Parts.rows(codes);
        int in = (int) sizes[1];
        int per = 32 / scheme.bits();
        if (sizes[0] != out || Math.ceilDiv(in, per) != Parts.columns(codes)) {
            throw QuantErrors.tensor(
                    shape.described(),
                    "says [" + (long) sizes[0] + ", " + (long) sizes[1] + "], but weight_packed has " + out
                            + " rows of " + Parts.columns(codes) + " words of " + per + " values");
        }
        int size = scheme.groupSize() > 0 ? scheme.groupSize() : in;
        int groups = Math.ceilDiv(in, size);
        WeightTensor scales = parts.get("weight_scale", Parts.FLOATS);
        ScaleBlocks.of(scales, out, in, null, size);
        WeightTensor zeros = scheme.symmetric() ? null : zeros(parts, out, groups, per);
        WeightTensor index = parts.orNull("weight_g_idx", Parts.INT32);
        if (index != null) {
            Parts.checkShape(index, in);
        }
        boolean bytes = zeros != null && zeros.dtype() == DType.I8;
        Grouped.Stored stored = new Grouped.Stored(
                Layout.COMPRESSED,
                scheme.bits(),
                out,
                in,
                size,
                groups,
                codes,
                scales,
                zeros,
                // Codes are kept with half their range added, packed zeros too.
                zeros == null || bytes ? 1 << scheme.bits() - 1 : 0,
                index);
        return WeightTensor.packed(
                parts.weightName(),
                new long[] {out, in},
                codes.data(),
                codes.file(),
                new Grouped(stored, METHOD + " " + scheme.described()));
    }

    private static @Nullable WeightTensor zeros(Parts parts, int out, int groups, int per) {
        WeightTensor zeros = parts.get("weight_zero_point", ZEROS);
        Parts.checkShape(zeros, zeros.dtype() == DType.I8 ? out : Math.ceilDiv(out, per), groups);
        return zeros;
    }
}

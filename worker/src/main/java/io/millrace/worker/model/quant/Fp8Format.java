package io.millrace.worker.model.quant;

import io.millrace.worker.model.weights.DType;
import io.millrace.worker.model.weights.WeightTensor;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** E4M3 weights with {@code weight_scale_inv} by blocks (DeepSeek, Qwen3), or {@code weight_scale} by tensor or row. */
final class Fp8Format implements Format {

    private static final Set<String> PARTS =
            Set.of("weight", "weight_scale", "weight_scale_inv", "input_scale", "activation_scale", "input_scale_ub");

    private final int @Nullable [] block;

    Fp8Format(Settings settings) {
        String type = settings.text("e4m3", "fmt");
        if (!type.equals("e4m3") && !type.equals("float8_e4m3fn")) {
            throw settings.errors().option("fp8", "fmt", type, "e4m3");
        }
        this.block = settings.pair("weight_block_size");
    }

    @Override
    public Set<String> parts() {
        return PARTS;
    }

    @Override
    public boolean quantised(Parts parts) {
        return parts.has("weight_scale")
                || parts.has("weight_scale_inv")
                || Format.holdsCodes(parts, DType.F8_E4M3, DType.F8_E5M2, DType.I8, DType.U8);
    }

    @Override
    public String name() {
        return "fp8" + (block == null ? "" : ", blocks of " + block[0] + " x " + block[1]);
    }

    @Override
    public WeightTensor read(Parts parts) {
        WeightTensor values = parts.matrix("weight", List.of(DType.F8_E4M3));
        String scale = block != null || parts.has("weight_scale_inv") ? "weight_scale_inv" : "weight_scale";
        WeightTensor scales = parts.get(scale, Parts.FLOATS);
        ScaleBlocks blocks = ScaleBlocks.of(scales, Parts.rows(values), Parts.columns(values), block, 0);
        Scaled.Stored stored = new Scaled.Stored(values, scales, null, blocks.rows(), blocks.columns(), 1);
        return WeightTensor.packed(
                parts.weightName(), values.shape(), values.data(), values.file(), new Scaled(stored, name()));
    }
}

package io.millrace.worker.model.quant;

import io.millrace.worker.model.weights.DType;
import io.millrace.worker.model.weights.MappedFile;
import io.millrace.worker.model.weights.WeightTensor;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Set;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** bitsandbytes: 4 bits with a state in JSON beside the codes, or int8 rows with their largest magnitudes ({@code SCB}). */
final class BitsAndBytesFormat implements Format {

    private static final String NF4 = "weight.quant_state.bitsandbytes__nf4";
    private static final String FP4 = "weight.quant_state.bitsandbytes__fp4";
    private static final Set<String> PARTS = Set.of(
            "weight",
            "weight.absmax",
            "weight.quant_map",
            "weight.nested_absmax",
            "weight.nested_quant_map",
            NF4,
            FP4,
            "SCB",
            "weight_format");
    private static final List<DType> BYTES = List.of(DType.U8);
    private static final List<DType> F32 = List.of(DType.F32);
    /** Codes may be kept as any type of whole bytes. */
    private static final List<DType> STORAGE = List.of(DType.U8, DType.I8, DType.BF16, DType.F16, DType.F32);

    private static final float INT8_MAX = 127;
    private static final int MAX_STATE_BYTES = 1 << 16;
    private static final int MAX_BLOCK = 1 << 16;

    private final boolean fourBit;

    BitsAndBytesFormat(Settings settings) {
        this.fourBit = settings.flag("load_in_4bit", settings.flag("_load_in_4bit", false));
        if (!fourBit && !settings.flag("load_in_8bit", settings.flag("_load_in_8bit", false))) {
            throw settings.errors().config("load_in_4bit", "and load_in_8bit are both false");
        }
    }

    @Override
    public Set<String> parts() {
        return PARTS;
    }

    @Override
    public boolean quantised(Parts parts) {
        return PARTS.stream().anyMatch(part -> !part.equals("weight") && parts.has(part))
                || Format.holdsCodes(parts, DType.U8, DType.I8);
    }

    @Override
    public String name() {
        return "bitsandbytes " + (fourBit ? "4 bit" : "int8");
    }

    @Override
    public WeightTensor read(Parts parts) {
        return fourBit ? fourBit(parts) : int8(parts);
    }

    private WeightTensor int8(Parts parts) {
        WeightTensor values = parts.matrix("weight", List.of(DType.I8));
        int out = Parts.rows(values);
        WeightTensor largest = parts.get("SCB", F32);
        Parts.checkShape(largest, out);
        WeightTensor order = parts.orNull("weight_format", BYTES);
        if (order != null && order.elements() == 1 && bytes(order)[0] != 0) {
            throw QuantErrors.tensor(
                    order.described(),
                    "is " + bytes(order)[0] + ", an order of the values that is not supported (0 is)");
        }
        Scaled.Stored stored = new Scaled.Stored(values, largest, null, 1, Parts.columns(values), INT8_MAX);
        return WeightTensor.packed(
                parts.weightName(), values.shape(), values.data(), values.file(), new Scaled(stored, name()));
    }

    private WeightTensor fourBit(Parts parts) {
        String stateName = parts.has(FP4) ? FP4 : NF4;
        WeightTensor state = parts.get(stateName, BYTES);
        JsonNode json = json(state);
        int out = size(state, json.path("shape").path(0), "shape");
        int in = size(state, json.path("shape").path(1), "shape");
        int block = number(state, json, "blocksize");
        WeightTensor codes = parts.get("weight", STORAGE);
        long values = (long) out * in;
        if (json.path("shape").size() != 2 || codes.data().byteSize() != (values + 1) / 2) {
            throw QuantErrors.tensor(
                    codes.described(),
                    "has " + codes.data().byteSize() + " bytes, but its state says shape "
                            + Settings.shown(json.path("shape")) + " of 4 bits each");
        }
        WeightTensor levels = parts.get("weight.quant_map", F32);
        Parts.checkShape(levels, 16);
        long blocks = Math.ceilDiv(values, (long) block);
        boolean nested = json.hasNonNull("nested_blocksize");
        WeightTensor magnitudes = parts.get("weight.absmax", nested ? BYTES : F32);
        Parts.checkShape(magnitudes, blocks);
        Codebook.Stored stored = new Codebook.Stored(
                in, block, codes, levels, magnitudes, nested ? nested(parts, state, json, blocks) : null);
        String format =
                "bitsandbytes " + stateName.substring(stateName.lastIndexOf('_') + 1) + (nested ? ", double" : "");
        return WeightTensor.packed(
                parts.weightName(), new long[] {out, in}, codes.data(), codes.file(), new Codebook(stored, format));
    }

    private static Codebook.Nested nested(Parts parts, WeightTensor state, JsonNode json, long blocks) {
        int block = number(state, json, "nested_blocksize");
        WeightTensor scales = parts.get("weight.nested_absmax", F32);
        Parts.checkShape(scales, Math.ceilDiv(blocks, (long) block));
        WeightTensor levels = parts.get("weight.nested_quant_map", F32);
        Parts.checkShape(levels, 256);
        JsonNode offset = json.path("nested_offset");
        if (!offset.isNumber()) {
            throw QuantErrors.tensor(state.described(), "says no nested_offset");
        }
        return new Codebook.Nested(levels, scales, block, (float) offset.doubleValue());
    }

    private static int number(WeightTensor state, JsonNode json, String key) {
        int size = size(state, json.path(key), key);
        if (size > MAX_BLOCK) {
            throw QuantErrors.tensor(
                    state.described(), "says " + key + " " + size + "; at most " + MAX_BLOCK + " is possible");
        }
        return size;
    }

    private static int size(WeightTensor state, JsonNode node, String key) {
        if (!node.isIntegralNumber() || !node.canConvertToInt() || node.intValue() < 1) {
            throw QuantErrors.tensor(
                    state.described(),
                    "says " + key + " " + Settings.shown(node) + " where positive numbers are needed");
        }
        return node.intValue();
    }

    private static JsonNode json(WeightTensor state) {
        try {
            return JsonMapper.shared().readTree(new String(bytes(state), StandardCharsets.UTF_8));
        } catch (JacksonException e) {
            throw QuantErrors.tensor(state.described(), "is not the JSON it should be: " + e.getOriginalMessage());
        }
    }

    private static byte[] bytes(WeightTensor tensor) {
        if (tensor.data().byteSize() > MAX_STATE_BYTES) {
            throw QuantErrors.tensor(
                    tensor.described(),
                    "has " + tensor.data().byteSize() + " bytes; at most " + MAX_STATE_BYTES + " are possible");
        }
        try {
            return tensor.data().toArray(ValueLayout.JAVA_BYTE);
        } catch (InternalError e) {
            throw MappedFile.fault(tensor.described(), e);
        }
    }
}

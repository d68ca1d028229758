package io.millrace.worker.model.quant;

import io.millrace.shared.error.MillraceException;

/** The coded errors of quantised checkpoints. */
final class QuantErrors {

    private static final String SUPPORTED =
            "awq (gemm, 4 bit), gptq (v1 and v2; 2, 4 and 8 bit), bitsandbytes (nf4, fp4, int8),"
                    + " compressed-tensors (float-quantized fp8, int-quantized, pack-quantized), fp8 and fbgemm_fp8 (e4m3)";

    private final String origin;

    /** @param origin the config's file */
    QuantErrors(String origin) {
        this.origin = origin;
    }

    MillraceException method(String name) {
        return new MillraceException(
                "MR-QUANT-001",
                origin + ": the checkpoint is quantised by " + name + ", which is not supported; supported: "
                        + SUPPORTED + ". Choose the model in one of these, unquantised, or as a GGUF file.");
    }

    MillraceException option(String method, String key, String value, String supported) {
        return new MillraceException(
                "MR-QUANT-001",
                origin + ": " + key + " of " + method + " is " + value + ", which is not supported; supported: "
                        + supported + ". Choose the model in another form.");
    }

    MillraceException config(String key, String what) {
        return new MillraceException(
                "MR-QUANT-002",
                origin + ": " + key + " of the quantisation config " + what
                        + ". Get the file again from the model's publisher.");
    }

    /** @param tensor described, with its file */
    static MillraceException tensor(String tensor, String what) {
        return new MillraceException(
                "MR-QUANT-003",
                tensor + " " + what
                        + ". The checkpoint is damaged or not of its config; get both again from the publisher, whole.");
    }
}

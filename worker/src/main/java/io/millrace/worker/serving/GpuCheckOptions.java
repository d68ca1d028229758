package io.millrace.worker.serving;

import io.millrace.worker.backend.KvType;
import io.millrace.worker.backend.cpu.CpuSettings;
import java.nio.file.Path;
import java.util.List;

/** The options of a model as arguments of the process that checks the GPU for it: what memory and kernels depend on. */
final class GpuCheckOptions {

    private GpuCheckOptions() {}

    /** @param model empty: a plain one */
    static List<String> write(String model, ModelOptions options) {
        CpuSettings settings = options.cpu();
        String activations = switch (settings.precision()) {
            case NATIVE -> "auto";
            case F32 -> "float";
            case FP8 -> "fp8";
        };
        return List.of(
                model.isEmpty() ? "" : Path.of(model).toAbsolutePath().toString(),
                String.valueOf(options.maxModelLen()),
                String.valueOf(options.forceMaxModelLen()),
                String.valueOf(options.kvMemoryBytes()),
                String.valueOf(options.kvHostBytes()),
                String.valueOf(options.maxRunning()),
                String.valueOf(options.stepTokens()),
                options.task(),
                options.kvType().label(),
                activations,
                settings.libraryRows() == 0 ? "invariant" : "library:" + settings.libraryRows());
    }

    /** Of the cuda engine. */
    static ModelOptions read(String[] args) {
        return new ModelOptions(
                "cuda",
                Integer.parseInt(args[1]),
                Boolean.parseBoolean(args[2]),
                Long.parseLong(args[3]),
                Long.parseLong(args[4]),
                Integer.parseInt(args[5]),
                Integer.parseInt(args[6]),
                1,
                0,
                0,
                args[7],
                KvType.of(args[8]),
                CpuSettings.of(args[9], false, "", args[10]),
                "auto",
                "auto");
    }
}

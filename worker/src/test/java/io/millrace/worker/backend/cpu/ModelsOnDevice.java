package io.millrace.worker.backend.cpu;

import io.millrace.worker.backend.KvType;
import io.millrace.worker.backend.check.CudaCheck;
import io.millrace.worker.backend.check.PlainModel;
import io.millrace.worker.engine.CudaEngineChecks;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Golden models and a whole engine on the device of the library that the property {@code test.cuda.library} names, without JUnit: what {@code kernels/gpu-check} runs
 * where Java is. Prints a line for each that fails, and how many did.
 */
public final class ModelsOnDevice {

    /** A check, which throws what is wrong. */
    private interface Check {
        void run() throws Exception;
    }

    private ModelsOnDevice() {}

    /** Ends with 1 when a check failed. @param args a part of the names of those to run; all without one */
    public static void main(String[] args) {
        int passed = 0;
        int failed = 0;
        for (Map.Entry<String, Check> check : checks().entrySet()) {
            if (args.length > 0 && !check.getKey().contains(args[0])) {
                continue;
            }
            String wrong = wrong(check.getValue());
            if (wrong == null) {
                passed++;
            } else {
                failed++;
                System.out.println("FAILED " + check.getKey() + ": " + wrong);
            }
        }
        System.out.println("models: " + passed + " passed, " + failed + " failed");
        System.exit(failed == 0 && passed > 0 ? 0 : 1);
    }

    @SuppressWarnings("CatchingUnchecked")
    private static @Nullable String wrong(Check check) {
        try {
            check.run();
            return null;
        } catch (Exception | AssertionError | LinkageError e) {
            return e.toString();
        }
    }

    private static void autosCheck(Path cpu) {
        PlainModel plain = new PlainModel();
        String found =
                CudaCheck.run(EmulatedCuda.library(), cpu, plain.decoder(), plain, KvType.F32, CpuSettings.DEFAULT);
        System.out.println("auto's check: " + found);
    }

    private static Map<String, Check> checks() {
        Map<String, Check> all = new LinkedHashMap<>();
        CpuGoldenTest.cases()
                .forEach(model -> all.put("float32 " + model.name(), () -> {
                    CudaGoldenTest.check(model, Integer.MAX_VALUE, 4096);
                    CudaGoldenTest.check(model, Integer.MAX_VALUE, 7);
                }));
        CpuGoldenTest.cases()
                .forEach(model ->
                        all.put("bf16 " + model.name(), () -> new CudaGoldenTest().bf16StaysWithinItsBound(model)));
        for (KvType type : List.of(KvType.INT8, KvType.FP8)) {
            all.put("cache " + type.label(), () -> new CudaGoldenTest().aCacheOfBytesStaysWithinItsBound(type));
        }
        for (String name : List.of("fp8-block", "ct-fp8-channel")) {
            all.put("quantised " + name, () -> new CudaQuantizedTest().idsAndLogitsAgree(name));
        }
        for (int vocabulary : new int[] {33, 4_999}) {
            all.put("ids of " + vocabulary, () -> new DeviceSamplingTest().theDeviceChoosesAsTheHostDoes(vocabulary));
        }
        all.put("drafts", () -> new DraftsTest().acceptedDraftsAreTheIdsOfOneRowAtATime(NativeDevice.CUDA));
        KernelLibrary.find()
                .ifPresentOrElse(
                        cpu -> all.put("check before auto takes it", () -> autosCheck(cpu)),
                        () -> System.out.println("left out: auto's check, as the CPU kernels are not there"));
        CudaEngineChecks.all().forEach((name, check) -> all.put("engine, " + name, check::call));
        return all;
    }
}

package io.millrace.worker.serving;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.backend.MemoryNeed;
import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.backend.check.CudaCheck;
import io.millrace.worker.backend.check.PlainModel;
import io.millrace.worker.backend.cpu.CudaBackend;
import io.millrace.worker.backend.cpu.KernelLibrary;
import java.io.IOException;
import java.nio.file.Path;

/**
 * The process of a check of the GPU: says on one line of its output what the device is, whether the model and its cache fit, and whether a small model of the same kinds is
 * computed as it should be. Ends when its input does, as then nobody waits for it. See {@link GpuCheckProcess}, which starts it.
 */
final class GpuCheckMain {

    /** Its line begins so; fields are separated by tabs. */
    static final String PASSED = "millrace-gpu-check passed\t";

    static final String REFUSED = "millrace-gpu-check refused\t";

    private static final String NOT_USABLE = "not usable: ";

    private GpuCheckMain() {}

    /** @param args the model's path, empty for a plain one, and then {@link GpuCheckOptions} */
    public static void main(String[] args) {
        Thread.ofPlatform().daemon(true).start(GpuCheckMain::endWithInput);
        String device = "";
        try {
            Path cuda = CudaBackend.find().orElseThrow();
            device = CudaBackend.describe(cuda);
            String found = check(cuda, device, args);
            System.out.println(PASSED + oneLine(device) + "\t" + oneLine(found));
        } catch (MillraceException e) {
            refuse(told(e), device);
        } catch (RuntimeException | Error e) {
            refuse(unforeseen(e), device);
        }
        System.out.flush();
        Runtime.getRuntime().halt(0);
    }

    private static void refuse(MillraceException why, String device) {
        System.out.println(
                REFUSED + why.code() + "\t" + oneLine(device) + "\t" + oneLine(String.valueOf(why.getMessage())));
    }

    private static MillraceException unforeseen(Throwable failure) {
        Throwable root = failure;
        while (root.getCause() != null) {
            root = root.getCause();
        }
        return new MillraceException(
                CudaCheck.FAILED,
                "The check itself failed: " + root.getClass().getSimpleName() + ": " + root.getMessage()
                        + ". This is a fault of ours, please report it.");
    }

    private static String check(Path cuda, String device, String[] args) {
        Path cpu = KernelLibrary.find().orElseThrow();
        ModelOptions options = GpuCheckOptions.read(args);
        if (args[0].isEmpty()) {
            if (device.startsWith(NOT_USABLE)) {
                throw new MillraceException("MR-CUDA-002", device.substring(NOT_USABLE.length()));
            }
            PlainModel plain = new PlainModel();
            return CudaCheck.run(cuda, cpu, plain.decoder(), plain, options.kvType(), options.cpu());
        }
        try (OpenModel opened = OpenModel.open(Path.of(args[0]), options.task())) {
            ModelFiles files = (ModelFiles) opened;
            KvBudget budget = KvBudget.of(files.decoder().config(), options, () -> Backends.cacheBytes(files, options));
            MemoryNeed need = Backends.need(files, budget.options(), options);
            if (need.shortByBytes() > 0) {
                throw need.tooMuch("The model", Backends.weights(options.engine()));
            }
            budget.checkWorth(files.decoder().config(), options);
            return CudaCheck.run(cuda, cpu, files.decoder(), files.source(), options.kvType(), options.cpu());
        }
    }

    /** What a step that failed says is of the worker that would run it; here it is the check that was not passed. */
    private static MillraceException told(MillraceException e) {
        boolean step = e.code().equals("MR-CUDA-003") || e.code().equals(ModelRuntime.DEVICE_LOST);
        String what = String.valueOf(e.getMessage());
        int end = what.indexOf(". This ");
        return step
                ? new MillraceException(
                        CudaCheck.FAILED,
                        "The GPU failed its check: " + (end < 0 ? what : what.substring(0, end))
                                + ". Look at nvidia-smi and dmesg; if the chip is sound this is a fault of our kernels, please report it.")
                : e;
    }

    private static String oneLine(String text) {
        return text.replaceAll("\\s+", " ");
    }

    private static void endWithInput() {
        try {
            while (System.in.read() >= 0) {}
        } catch (IOException e) {
            // As good as its end.
        }
        Runtime.getRuntime().halt(1);
    }
}

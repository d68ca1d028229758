package io.millrace.worker.serving;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.backend.KvOptions;
import io.millrace.worker.backend.LoadProgress;
import io.millrace.worker.backend.MemoryNeed;
import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.backend.cpu.CpuBackend;
import io.millrace.worker.backend.cpu.CpuSettings;
import io.millrace.worker.backend.cpu.CudaBackend;
import io.millrace.worker.backend.cpu.KernelLibrary;
import io.millrace.worker.backend.memory.MemoryPlan;
import io.millrace.worker.backend.torch.TorchBackend;
import java.nio.file.Path;
import java.util.Optional;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Loads a model into the backend that was asked for. {@code auto} is an engine of the processor here, as {@link AutoEngine} has the word before: the native kernels where they are
 * built and this processor has vector instructions that they know, otherwise PyTorch.
 */
final class Backends {

    private static final Logger LOG = LoggerFactory.getLogger(Backends.class);

    /** The kernels are not loadable, or lack an op: {@code auto} then goes on to PyTorch. */
    private static final Set<String> NOT_HERE = Set.of("MR-CPU-001", "MR-CPU-002");

    private static final String AUTO = "auto";
    private static final String CPU = "cpu";
    private static final String CUDA = "cuda";

    /** Of the machine's memory that is available, what is taken for swapped blocks when nothing is said. */
    private static final int HOST_SHARE = 8;

    private static final long MOST_HOST_BYTES = 4L << 30;

    private Backends() {}

    /**
     * A loaded model.
     *
     * @param dtype in which it computes
     */
    record Loaded(ModelRuntime runtime, String dtype) {}

    /** The engine that a model is loaded into: {@code cpu} with its library, or another. */
    private record Choice(@Nullable Path library, String why) {}

    static Loaded load(ModelFiles files, KvOptions kv, ModelOptions options, int threads, LoadProgress progress) {
        String engine = options.engine();
        if (engine.equals(CUDA)) {
            return cuda(files, kv, options, threads, progress);
        }
        if (options.cpu().libraryRows() > 0) {
            throw new MillraceException(
                    "MR-SERVE-013",
                    "products is library, which only the cuda engine has; the engine is " + engine
                            + ". Leave --products out, or use --engine cuda.");
        }
        Choice choice = choose(engine);
        if (choice.library() == null) {
            return torch(files, kv, threads, progress, choice.why());
        }
        try {
            return cpu(choice.library(), files, kv, options.cpu(), threads, progress);
        } catch (MillraceException e) {
            if (engine.equals(CPU) || !NOT_HERE.contains(e.code())) {
                throw e;
            }
            return torch(files, kv, threads, progress, e.toString());
        }
    }

    /** Which engine of the processor {@code auto} is, and why. Loads no model. */
    static String automatic() {
        return host() + ", as " + choose(AUTO).why();
    }

    /** The same by name alone. */
    static String host() {
        return choose(AUTO).library() == null ? "torch" : CPU;
    }

    /**
     * Loads the kernels' library where it is to serve, which takes a moment the first time in a process: {@link #load} finds it loaded.
     *
     * @return whether it is to serve
     */
    static boolean prepare(ModelOptions options) {
        return !options.engine().equals(CUDA) && choose(options.engine()).library() != null;
    }

    /** Memory that loading takes. MR-MEM-001 when the KV cache's budget does not hold one sequence. */
    static MemoryNeed need(ModelFiles files, KvOptions kv, ModelOptions options) {
        if (options.engine().equals(CUDA)) {
            return CudaBackend.need(
                    cudaLibrary(), files.decoder(), files.source(), kv, options.cpu(), Engines.limits(options));
        }
        return choose(options.engine()).library() == null
                ? TorchBackend.need(files.decoder(), kv)
                : CpuBackend.need(files.decoder(), files.source(), kv, options.cpu());
    }

    /** Memory of a KV cache for which nothing is asked: a part of the machine's, or what a device has left. */
    static long cacheBytes(ModelFiles files, ModelOptions options) {
        if (!options.engine().equals(CUDA)) {
            return KvBudget.ofMachine();
        }
        return CudaBackend.roomForCache(
                cudaLibrary(),
                files.decoder(),
                files.source(),
                new KvOptions(
                        KvBudget.BLOCK_TOKENS,
                        1,
                        0,
                        options.maxModelLen(),
                        options.kvType(),
                        hostBytes(options, Long.MAX_VALUE)),
                options.cpu(),
                Engines.limits(options));
    }

    /**
     * Memory of the host for blocks that are swapped out: as asked for, or of a device that has memory of its own as much as its cache, at most 4 GiB
     * and an eighth of what is available. Of the cpu engine none: its cache could be larger instead.
     */
    static long hostBytes(ModelOptions options, long cacheBytes) {
        if (options.kvHostBytes() != ModelOptions.CHOOSE) {
            return options.kvHostBytes();
        }
        return options.engine().equals(CUDA)
                ? Math.min(Math.min(MOST_HOST_BYTES, cacheBytes), MemoryPlan.available() / HOST_SHARE)
                : 0;
    }

    /** How weights are kept, for messages. */
    static String weights(String engine) {
        return !engine.equals(CUDA) && choose(engine).library() == null ? "weights in float32" : "weights packed";
    }

    private static Choice choose(String engine) {
        if (engine.equals("torch")) {
            return new Choice(null, "as asked for");
        }
        if (engine.equals(CPU)) {
            return new Choice(library(), "as asked for");
        }
        try {
            Optional<Path> library = KernelLibrary.find();
            if (library.isEmpty()) {
                return new Choice(null, "the CPU kernels are not built; ./millrace doctor says why");
            }
            return KernelLibrary.isFast(library.get())
                    ? new Choice(library.get(), "the CPU kernels are there")
                    : new Choice(null, "this processor has none of the CPU kernels' vector instructions");
        } catch (MillraceException e) {
            if (!NOT_HERE.contains(e.code())) {
                throw e;
            }
            return new Choice(null, e.toString());
        }
    }

    private static Path library() {
        return KernelLibrary.find()
                .orElseThrow(() -> new MillraceException(
                        "MR-CPU-001",
                        "The CPU kernels are not built. Install a C++20 compiler (apt install g++ cmake) and run"
                                + " ./millrace build, or use --engine torch."));
    }

    private static Loaded cpu(
            Path library, ModelFiles files, KvOptions kv, CpuSettings settings, int threads, LoadProgress progress) {
        ModelRuntime runtime =
                CpuBackend.load(library, files.decoder(), files.source(), kv, threads, settings, progress);
        LOG.info("{} runs on the cpu engine, {}", files.path().getFileName(), runtime.numericsId());
        return new Loaded(runtime, CpuBackend.dtype(files.decoder(), files.source()));
    }

    private static Path cudaLibrary() {
        return CudaBackend.find()
                .orElseThrow(() -> new MillraceException(
                        "MR-CUDA-001",
                        "The CUDA kernels are not built. Run kernels/cuda/build.sh (it wants nvcc 13, which"
                                + " kernels/cuda/get-nvcc.sh fetches), or use --engine cpu."));
    }

    private static Loaded cuda(
            ModelFiles files, KvOptions kv, ModelOptions options, int threads, LoadProgress progress) {
        ModelRuntime runtime = CudaBackend.load(
                cudaLibrary(),
                files.decoder(),
                files.source(),
                kv,
                threads,
                options.cpu(),
                Engines.limits(options),
                progress);
        LOG.info("{} runs on the cuda engine, {}", files.path().getFileName(), runtime.numericsId());
        return new Loaded(runtime, options.cpu().precision() == CpuSettings.Precision.F32 ? "f32" : "bf16");
    }

    private static Loaded torch(ModelFiles files, KvOptions kv, int threads, LoadProgress progress, String why) {
        ModelRuntime runtime = TorchBackend.load(files.decoder(), files.source(), kv, threads, progress);
        LOG.info("{} runs on the torch engine: {}", files.path().getFileName(), why);
        return new Loaded(runtime, "f32");
    }
}

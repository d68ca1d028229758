package io.millrace.worker.engine;

import io.millrace.shared.error.MillraceException;
import io.millrace.shared.log.Clock;
import io.millrace.worker.backend.KvOptions;
import io.millrace.worker.backend.KvType;
import io.millrace.worker.backend.LoadProgress;
import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.backend.StepLimits;
import io.millrace.worker.backend.cpu.CpuBackend;
import io.millrace.worker.backend.cpu.CpuSettings;
import io.millrace.worker.backend.cpu.CudaBackend;
import io.millrace.worker.backend.cpu.EmulatedCuda;
import io.millrace.worker.backend.cpu.KernelLibrary;
import io.millrace.worker.backend.memory.MemoryPlan;
import io.millrace.worker.backend.mock.MockTokenizer;
import io.millrace.worker.engine.ClosedLoop.Work;
import io.millrace.worker.model.RandomWeights;
import io.millrace.worker.model.config.DecoderConfig;
import io.millrace.worker.model.decoder.Decoder;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;

/**
 * Output tokens a second of a whole engine, from its queue to its listeners, on random weights in bf16: what {@code kernels/gpu-check} puts beside transformers'. It has
 * the arguments, and prints the rows, of {@code bench/transformers-peer.py}.
 */
public final class EngineThroughput {

    private static final String USAGE =
            "EngineThroughput cuda[:PRODUCTS]|cpu SHAPE PROMPT TOKENS STREAMS:REQUESTS... (PRODUCTS: as --products; SHAPE: a config.json, see bench/shapes)";
    /** No room for weights, for a sequence; no kernels. */
    private static final Set<String> NOT_HERE = Set.of("MR-MEM-001", "MR-ENGINE-001", "MR-CPU-001");

    private static final String NO_CUBLASLT = "MR-CUDA-002";

    private static final String CUDA = "cuda";

    private static final int ROUNDS = 3;
    private static final long ENOUGH_S = 90;
    private static final long MOST_S = 150;
    private static final int BLOCK_TOKENS = 16;

    /** Rows of a step: of 512 that decode the rest leaves room for the prompts of those that replace them. */
    private static final int STEP_TOKENS = 2048;

    private final String who;
    private final String shape;
    private final List<Work> works;
    private final int streams;
    private final int length;
    private final PrintStream out;
    private int running;
    private long seed;

    private EngineThroughput(String who, String shape, List<Work> works, PrintStream out) {
        this.who = who;
        this.shape = shape;
        this.works = works;
        this.streams = works.stream().mapToInt(Work::streams).max().orElseThrow();
        this.length = works.getFirst().prompt() + works.getFirst().tokens();
        this.out = out;
    }

    /** Ends with 3 after a last line "not run: " and what is missing. @param args as {@link #USAGE} says */
    public static void main(String[] args) throws Exception {
        if (args.length < 5) {
            System.err.println(USAGE);
            System.exit(2);
        }
        try {
            run(args, System.out);
        } catch (MillraceException e) {
            boolean library = args[0].contains(":") && e.code().equals(NO_CUBLASLT);
            if (!library && !NOT_HERE.contains(e.code())) {
                throw e;
            }
            System.out.println("not run: " + e);
            System.exit(3);
        }
    }

    static void run(String[] args, PrintStream out) throws IOException, InterruptedException {
        Path file = Path.of(args[1]);
        int prompt = Integer.parseInt(args[2]);
        int tokens = Integer.parseInt(args[3]);
        List<Work> works = Arrays.stream(args)
                .skip(4)
                .map(work -> work.split(":", 2))
                .map(work -> new Work(Integer.parseInt(work[0]), Integer.parseInt(work[1]), prompt, tokens))
                .toList();
        String shape = String.valueOf(file.getFileName()).replace(".json", "");
        DecoderConfig config = DecoderConfig.fromJson(file.toString(), Files.readString(file));
        if (args[0].equals("cpu")) {
            new EngineThroughput("millrace", shape, works, out).measure(config, Optional.empty());
            return;
        }
        String products = args[0].equals(CUDA) ? "invariant" : args[0].substring(CUDA.length() + 1);
        String who = args[0].equals(CUDA) ? "millrace" : "millrace by products of " + products;
        new EngineThroughput(who, shape, works, out)
                .measure(config, Optional.of(CpuSettings.of("auto", false, "", products)));
    }

    private void measure(DecoderConfig config, Optional<CpuSettings> cuda) throws InterruptedException {
        EngineConfig sizes =
                EngineConfig.of(shape, length).withMaxRunning(streams).withMaxBatchedTokens(STEP_TOKENS);
        ModelRuntime runtime = load(config, cuda, sizes);
        running = running(streams, runtime.kvLayout().groups().getFirst().blocks(), length);
        sizes = sizes.withMaxRunning(running);
        try (BatchEngine engine = BatchEngine.start(
                sizes, runtime, new MockTokenizer(runtime.vocabularySize()), Clock.SYSTEM, StepListener.NONE)) {
            for (Work work : works) {
                report(engine, work, runtime.vocabularySize());
            }
        }
    }

    /** @param cuda how CUDA computes; empty: the CPU does */
    private ModelRuntime load(DecoderConfig config, Optional<CpuSettings> cuda, EngineConfig sizes) {
        int threads = Runtime.getRuntime().availableProcessors();
        try (RandomWeights weights = new RandomWeights(config)) {
            Decoder decoder = Decoder.of(config, weights);
            KvOptions one = new KvOptions(BLOCK_TOKENS, 1, 0, sizes.maxModelLen(), KvType.BF16);
            long wanted = blocks(streams, length);
            if (cuda.isEmpty()) {
                Path library = KernelLibrary.find()
                        .orElseThrow(() -> new MillraceException("MR-CPU-001", "The CPU kernels are not built."));
                return CpuBackend.load(
                        library,
                        decoder,
                        weights,
                        withBlocks(one, wanted),
                        threads,
                        CpuSettings.DEFAULT,
                        LoadProgress.NONE);
            }
            Path library = EmulatedCuda.library();
            StepLimits limits =
                    new StepLimits(Math.max(STEP_TOKENS, streams + 1), Math.max(streams, sizes.promptLogprobRows()));
            long room = CudaBackend.roomForCache(library, decoder, weights, one, cuda.get(), limits)
                    / (MemoryPlan.tokenBytes(config, KvType.BF16) * BLOCK_TOKENS);
            return CudaBackend.load(
                    library,
                    decoder,
                    weights,
                    withBlocks(one, Math.min(wanted, room)),
                    threads,
                    cuda.get(),
                    limits,
                    LoadProgress.NONE);
        }
    }

    /** Those of so many sequences, and what admission leaves free. */
    private static long blocks(long sequences, int length) {
        return sequences * ((length + BLOCK_TOKENS - 1) / BLOCK_TOKENS) * 21 / 20 + 8;
    }

    /** How many of the streams run at a time, the others wait, so that none is preempted. */
    static int running(int streams, long blocks, int length) {
        int running = streams;
        while (running > 1 && blocks(running, length) > blocks) {
            running--;
        }
        return running;
    }

    private static KvOptions withBlocks(KvOptions one, long blocks) {
        return new KvOptions(one.blockTokens(), Math.toIntExact(blocks), 0, one.maxModelLen(), one.type());
    }

    private void report(BatchEngine engine, Work work, int vocabulary) throws InterruptedException {
        long began = System.nanoTime();
        Work unmeasured = new Work(work.streams(), work.streams(), work.prompt(), work.tokens());
        new ClosedLoop(engine, unmeasured, vocabulary, seed++).seconds(MOST_S);
        List<Double> taken = new ArrayList<>();
        while (taken.size() < ROUNDS && (taken.isEmpty() || System.nanoTime() - began < ENOUGH_S * 1_000_000_000L)) {
            taken.add(new ClosedLoop(engine, work, vocabulary, seed++).seconds(MOST_S));
        }
        double[] sorted =
                taken.stream().mapToDouble(Double::doubleValue).sorted().toArray();
        double median = (sorted[(sorted.length - 1) / 2] + sorted[sorted.length / 2]) / 2;
        out.printf(
                Locale.ROOT,
                "%s, %s in bf16, %d requests, %d at a time, %d tokens in, %d out\t%.4f\t%.1f\ttokens/s, median of %d%s\t%n",
                who,
                shape,
                work.requests(),
                work.streams(),
                work.prompt(),
                work.tokens(),
                median * 1e3,
                work.requests() * (double) work.tokens() / median,
                sorted.length,
                running < work.streams() ? " (" + running + " run)" : "");
    }
}

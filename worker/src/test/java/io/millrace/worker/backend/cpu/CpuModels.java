package io.millrace.worker.backend.cpu;

import io.millrace.worker.backend.KvOptions;
import io.millrace.worker.backend.LoadProgress;
import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.model.config.DecoderConfig;
import io.millrace.worker.model.decoder.Decoder;
import io.millrace.worker.model.gguf.GgufFile;
import io.millrace.worker.model.quant.QuantizedSource;
import io.millrace.worker.model.weights.WeightSource;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Assumptions;

/** Loads models into the native kernels, where they are built. */
final class CpuModels {

    static final CpuSettings F32 = new CpuSettings(0, CpuSettings.Precision.F32, false);

    private CpuModels() {}

    /** The library; skips the calling test, saying why, when it was not built. */
    static Path library() {
        Optional<Path> library = KernelLibrary.find();
        if (library.isEmpty()) {
            String reason = "SKIPPED, the native kernels are not built: run ./millrace build with a C++20 compiler";
            System.err.println(reason);
            Assumptions.abort(reason);
        }
        return library.orElseThrow();
    }

    /** Numbers of the instruction sets that this machine has. */
    static List<Integer> instructionSets() {
        NativeKernels kernels = NativeKernels.open(library());
        return IntStream.rangeClosed(1, 3).filter(kernels::isaAvailable).boxed().toList();
    }

    /** A model's program and slots; its weights cannot be read. */
    static Decoder decoder(Path path) {
        if (Files.isDirectory(path)) {
            Path file = path.resolve("config.json");
            try (WeightSource source = QuantizedSource.open(path, Files.readString(file))) {
                return Decoder.of(DecoderConfig.fromJson(file.toString(), Files.readString(file)), source);
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }
        try (GgufFile source = GgufFile.open(path)) {
            return Decoder.of(DecoderConfig.fromGguf(path.toString(), source.metadata()), source);
        }
    }

    static ModelRuntime load(Path path, KvOptions options, int threads, CpuSettings settings) {
        Path library = library();
        return load(
                path,
                (decoder, source) ->
                        CpuBackend.load(library, decoder, source, options, threads, settings, LoadProgress.NONE));
    }

    /** Loads a decoder with its weights. */
    interface Loader {
        ModelRuntime load(Decoder decoder, WeightSource source);
    }

    static ModelRuntime load(Path path, Loader loader) {
        if (Files.isDirectory(path)) {
            Path file = path.resolve("config.json");
            try (WeightSource source = QuantizedSource.open(path, Files.readString(file))) {
                DecoderConfig config = DecoderConfig.fromJson(file.toString(), Files.readString(file));
                return loader.load(Decoder.of(config, source), source);
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }
        try (GgufFile source = GgufFile.open(path)) {
            DecoderConfig config = DecoderConfig.fromGguf(path.toString(), source.metadata());
            return loader.load(Decoder.of(config, source), source);
        }
    }

    /** Root mean square of the differences, relative to the deviation of what is expected. */
    static double rms(List<float[]> actual, List<float[]> expected) {
        double error = 0;
        double squares = 0;
        double sum = 0;
        long n = 0;
        for (int r = 0; r < expected.size(); r++) {
            for (int i = 0; i < expected.get(r).length; i++) {
                double e = expected.get(r)[i];
                error += Math.pow(actual.get(r)[i] - e, 2);
                squares += e * e;
                sum += e;
                n++;
            }
        }
        return Math.sqrt(error / (squares - sum * sum / n));
    }
}

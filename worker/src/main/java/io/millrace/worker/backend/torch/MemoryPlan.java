package io.millrace.worker.backend.torch;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.backend.KvLayout;
import io.millrace.worker.backend.KvOptions;
import io.millrace.worker.model.config.DecoderConfig;
import io.millrace.worker.model.decoder.Decoder;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** How many KV blocks there are to be, and whether all fits into memory. */
final class MemoryPlan {

    private static final long MIB = 1 << 20;

    private MemoryPlan() {}

    /**
     * @param weightBytes of the weights, widened
     * @param available bytes for weights and cache together
     */
    static KvLayout layout(Decoder decoder, KvOptions options, long weightBytes, long available) {
        DecoderConfig config = decoder.config();
        KvLayout.Group one = group(config, 1);
        long blockBytes = TorchKvCache.blockBytes(one, options.blockTokens());
        int maxLength = maxLength(config, options);
        long needed = (maxLength + options.blockTokens() - 1L) / options.blockTokens();
        long blocks = options.blocks();
        if (blocks == 0) {
            blocks = Math.min(
                    options.memoryBytes() / blockBytes,
                    Integer.MAX_VALUE / (options.blockTokens() * (long) one.heads()));
            if (blocks < needed) {
                throw new MillraceException(
                        "MR-MEM-001",
                        "KV cache needs " + mib(needed * blockBytes) + " MiB for one sequence of " + maxLength
                                + " tokens, budget " + mib(options.memoryBytes()) + " MiB (short by "
                                + mib(needed * blockBytes - options.memoryBytes())
                                + "). Lower --max-model-len or raise --kv-memory.");
            }
        }
        long total = weightBytes + blocks * blockBytes;
        if (total > available) {
            throw new MillraceException(
                    "MR-MEM-001",
                    "The model needs " + mib(total) + " MiB (weights in float32 " + mib(weightBytes) + ", KV cache "
                            + mib(blocks * blockBytes) + "), available are " + mib(available) + " MiB (short by "
                            + mib(total - available)
                            + "). Lower --kv-memory or --max-model-len, or choose a smaller model.");
        }
        return new KvLayout(options.blockTokens(), List.of(group(config, Math.toIntExact(blocks))));
    }

    /** Most tokens of a sequence. */
    static int maxLength(DecoderConfig config, KvOptions options) {
        return options.maxModelLen() == 0 ? config.contextLength() : options.maxModelLen();
    }

    private static KvLayout.Group group(DecoderConfig config, int blocks) {
        DecoderConfig.CacheShape cache = config.cache();
        return new KvLayout.Group(blocks, config.layers(), cache.heads(), cache.keyDim(), cache.valueDim(), 0, "f32");
    }

    /** Bytes that can be had without swapping, within the container's limit. */
    static long available() {
        long total = Long.MAX_VALUE;
        if (ManagementFactory.getOperatingSystemMXBean() instanceof com.sun.management.OperatingSystemMXBean os) {
            total = os.getTotalMemorySize();
        }
        try {
            for (String line : Files.readAllLines(Path.of("/proc/meminfo"))) {
                if (line.startsWith("MemAvailable:")) {
                    return Math.min(total, Long.parseLong(line.replaceAll("\\D", "")) * 1024);
                }
            }
        } catch (IOException | NumberFormatException e) {
            return total;
        }
        return total;
    }

    private static String mib(long bytes) {
        return String.format(java.util.Locale.ROOT, "%,d", (bytes + MIB - 1) / MIB);
    }
}

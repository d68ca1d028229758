package io.millrace.worker.backend.torch;

import static io.millrace.worker.backend.MemoryNeed.mib;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.backend.KvLayout;
import io.millrace.worker.backend.KvOptions;
import io.millrace.worker.backend.MemoryNeed;
import io.millrace.worker.model.config.DecoderConfig;
import io.millrace.worker.model.decoder.Decoder;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** How many KV blocks there are to be, and whether all fits into memory. */
final class MemoryPlan {

    private MemoryPlan() {}

    /**
     * @param weightBytes of the weights, widened
     * @param available bytes for weights and cache together
     */
    static KvLayout layout(Decoder decoder, KvOptions options, long weightBytes, long available) {
        MemoryNeed need = need(decoder, options, weightBytes, available);
        if (need.shortByBytes() > 0) {
            throw need.tooMuch("The model", "weights in float32");
        }
        long blocks = blocks(decoder.config(), options);
        return new KvLayout(options.blockTokens(), List.of(group(decoder.config(), Math.toIntExact(blocks))));
    }

    /** MR-MEM-001 when the cache's budget does not hold one sequence. */
    static MemoryNeed need(Decoder decoder, KvOptions options, long weightBytes, long available) {
        long blockBytes = blockBytes(decoder.config(), options);
        return new MemoryNeed(weightBytes, blocks(decoder.config(), options) * blockBytes, available);
    }

    private static long blockBytes(DecoderConfig config, KvOptions options) {
        return TorchKvCache.blockBytes(group(config, 1), options.blockTokens());
    }

    private static long blocks(DecoderConfig config, KvOptions options) {
        if (options.blocks() != 0) {
            return options.blocks();
        }
        int maxLength = maxLength(config, options);
        long blockBytes = blockBytes(config, options);
        long needed = (maxLength + options.blockTokens() - 1L) / options.blockTokens();
        long blocks = Math.min(
                options.memoryBytes() / blockBytes,
                Integer.MAX_VALUE
                        / (options.blockTokens() * (long) group(config, 1).heads()));
        if (blocks < needed) {
            throw new MillraceException(
                    "MR-MEM-001",
                    "KV cache needs " + mib(needed * blockBytes) + " MiB for one sequence of " + maxLength
                            + " tokens, budget " + mib(options.memoryBytes()) + " MiB (short by "
                            + mib(needed * blockBytes - options.memoryBytes())
                            + "). Lower --max-model-len or raise --kv-memory.");
        }
        return blocks;
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
}

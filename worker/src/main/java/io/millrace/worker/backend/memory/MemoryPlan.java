package io.millrace.worker.backend.memory;

import static io.millrace.worker.backend.MemoryNeed.mib;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.backend.KvLayout;
import io.millrace.worker.backend.KvOptions;
import io.millrace.worker.backend.KvType;
import io.millrace.worker.backend.MemoryNeed;
import io.millrace.worker.model.config.DecoderConfig;
import io.millrace.worker.model.decoder.Decoder;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** How many KV blocks there are to be, and whether all fits into memory. */
public final class MemoryPlan {

    private MemoryPlan() {}

    /**
     * The cache of a model.
     *
     * @param weightBytes of the weights as the backend keeps them
     * @param form what that is, for the message, as in "in float32"
     * @param available bytes for weights and cache together
     * @throws MillraceException MR-MEM-001 when the budget does not hold the longest sequence, or the memory not both
     */
    public static KvLayout layout(Decoder decoder, KvOptions options, long weightBytes, String form, long available) {
        MemoryNeed need = need(decoder, options, weightBytes, available);
        if (need.shortByBytes() > 0) {
            throw need.tooMuch("The model", "weights " + form);
        }
        return sized(decoder, options);
    }

    /** The cache of a model, however much memory there is. MR-MEM-001 when the budget does not hold the longest sequence. */
    public static KvLayout sized(Decoder decoder, KvOptions options) {
        long blocks = blocks(decoder.config(), options);
        return new KvLayout(
                options.blockTokens(),
                List.of(group(decoder.config(), Math.toIntExact(blocks), options.type())),
                hostBlocks(decoder.config(), options));
    }

    private static int hostBlocks(DecoderConfig config, KvOptions options) {
        return (int) Math.min(Integer.MAX_VALUE / 2, options.hostBytes() / blockBytes(config, options));
    }

    /** MR-MEM-001 when the cache's budget does not hold one sequence. */
    public static MemoryNeed need(Decoder decoder, KvOptions options, long weightBytes, long available) {
        long blockBytes = blockBytes(decoder.config(), options);
        long swap = hostBlocks(decoder.config(), options) * blockBytes;
        return new MemoryNeed(
                weightBytes, blocks(decoder.config(), options) * blockBytes, 0, 0, swap, false, available, 0);
    }

    private static long blockBytes(DecoderConfig config, KvOptions options) {
        return blockBytes(group(config, 1, options.type()), options.blockTokens());
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
                        / (options.blockTokens() * (long) config.cache().heads()));
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
    public static int maxLength(DecoderConfig config, KvOptions options) {
        return options.maxModelLen() == 0 ? config.contextLength() : options.maxModelLen();
    }

    private static KvLayout.Group group(DecoderConfig config, int blocks, KvType type) {
        DecoderConfig.CacheShape cache = config.cache();
        return new KvLayout.Group(
                blocks, config.layers(), cache.heads(), cache.keyDim(), cache.valueDim(), 0, type.label());
    }

    /** Bytes of K and V of one token in all layers. */
    public static long tokenBytes(DecoderConfig config, KvType type) {
        return blockBytes(group(config, 1, type), 1);
    }

    /** Bytes of one block in all layers. */
    public static long blockBytes(KvLayout.Group group, int blockTokens) {
        KvType type = KvType.of(group.dtype());
        long token = type.bytes(group.keyDim()) + type.bytes(group.valueDim());
        return (long) blockTokens * group.layers() * group.heads() * token;
    }

    /** Bytes that can be had without swapping, within the container's limit. */
    public static long available() {
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

package io.millrace.worker.backend.check;

import io.millrace.worker.model.config.DecoderConfig;
import io.millrace.worker.model.config.DecoderConfig.Experts;
import io.millrace.worker.model.config.DecoderConfig.Latent;
import io.millrace.worker.model.config.DecoderConfig.LayerKind;
import java.util.List;

/**
 * A small config of the same kinds as a large one: the same heads, fewer of them; the same norms, rotations, caps and biases; as few layers as show all
 * kinds of them.
 */
final class SmallConfig {

    /** Most values of a row that is no head's: whole blocks and groups of every type. */
    static final int WIDTH = 512;

    private static final int VOCABULARY = 1024;
    private static final int KV_HEADS = 2;

    /** What the longest blocks of a stored type have. */
    private static final int BLOCK = 256;

    private static final int EXPERTS = 8;
    private static final int EXPERTS_IN_GROUPS = 16;

    /** Shorter than the check's longer sequence. */
    private static final int WINDOW = 100;

    private SmallConfig() {}

    /**
     * The small one.
     *
     * @param vocabulary of the large one
     * @param layers of the large one that are kept
     * @param width most values of a row that is no head's, as {@link #WIDTH}
     */
    static DecoderConfig of(DecoderConfig large, int vocabulary, List<Integer> layers, int width) {
        int kvHeads = kvHeads(large);
        Latent latent = large.latent();
        Experts experts = large.experts();
        return new DecoderConfig(
                large.architecture(),
                large.origin(),
                large.naming(),
                Math.min(large.hiddenSize(), width),
                Math.min(large.intermediateSize(), width),
                kvHeads * large.groupSize(),
                kvHeads,
                large.headDim(),
                Math.min(vocabulary, VOCABULARY),
                large.contextLength(),
                large.norms(),
                large.qkNorm(),
                large.activation(),
                large.ropes(),
                layers.stream()
                        .map(layer -> windowed(large.layerKinds().get(layer)))
                        .toList(),
                large.biases(),
                large.softCaps(),
                large.multipliers(),
                large.tiedEmbeddings(),
                experts == null ? null : small(experts, width),
                latent == null
                        ? null
                        : new Latent(
                                Math.min(latent.queryRank(), width),
                                latent.kvRank(),
                                latent.nopeDim(),
                                latent.ropeDim(),
                                latent.valueDim()));
    }

    private static LayerKind windowed(LayerKind kind) {
        return new LayerKind(Math.min(kind.window(), WINDOW), kind.rope(), kind.experts());
    }

    /** So many that what all heads give is whole blocks again, where it was. */
    private static int kvHeads(DecoderConfig large) {
        int values = large.heads() * large.headDim();
        int whole = Math.min(BLOCK, Integer.lowestOneBit(values));
        int heads = Math.min(KV_HEADS, large.kvHeads());
        while (heads < large.kvHeads() && heads * large.groupSize() * large.headDim() % whole != 0) {
            heads++;
        }
        return heads;
    }

    private static Experts small(Experts large, int width) {
        int groups = Math.min(large.groups(), large.groups() > 1 ? EXPERTS_IN_GROUPS / 4 : 1);
        int inGroup = Math.min(large.count() / large.groups(), (groups > 1 ? EXPERTS_IN_GROUPS : EXPERTS) / groups);
        int keptGroups = groups == 1 ? 1 : Math.min(large.keptGroups(), groups / 2);
        return new Experts(
                groups * inGroup,
                Math.min(large.active(), keptGroups * inGroup),
                Math.min(large.intermediateSize(), width),
                Math.min(large.sharedIntermediateSize(), width),
                large.sharedGate(),
                large.renormalise(),
                large.scale(),
                groups,
                keptGroups);
    }
}

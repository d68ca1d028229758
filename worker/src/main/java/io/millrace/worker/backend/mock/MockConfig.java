package io.millrace.worker.backend.mock;

import io.millrace.worker.backend.KvLayout;
import java.util.ArrayList;
import java.util.List;

/**
 * @param stepNanos what a step costs, whatever is in it
 * @param rowNanos what each token row adds
 * @param realSampling logits are made of hashes and {@link io.millrace.worker.sampling.Sampler} chooses from them, so every
 *     parameter counts (slow for large vocabularies); otherwise {@link MockTokens} gives the id and of the parameters only
 *     "temperature or not" and the suppressed ids count
 */
public record MockConfig(MockTokens tokens, KvLayout layout, long stepNanos, long rowNanos, boolean realSampling) {

    /** One KV group, no cost. */
    public static MockConfig of(MockTokens tokens, int blockTokens, int blocks) {
        return of(tokens, blockTokens, blocks, 1);
    }

    /** Several KV groups with pools of one size, no cost. */
    public static MockConfig of(MockTokens tokens, int blockTokens, int blocks, int groups) {
        List<KvLayout.Group> list = new ArrayList<>();
        for (int g = 0; g < groups; g++) {
            list.add(new KvLayout.Group(blocks, 1, 1, 1, 1, 0, "i64"));
        }
        return new MockConfig(tokens, new KvLayout(blockTokens, List.copyOf(list)), 0, 0, false);
    }

    /** With pools of so many blocks on the host. */
    public MockConfig withHostBlocks(int blocks) {
        return new MockConfig(
                tokens, new KvLayout(layout.blockTokens(), layout.groups(), blocks), stepNanos, rowNanos, realSampling);
    }

    public MockConfig withCost(long nanosAStep, long nanosARow) {
        return new MockConfig(tokens, layout, nanosAStep, nanosARow, realSampling);
    }

    public MockConfig withRealSampling() {
        return new MockConfig(tokens, layout, stepNanos, rowNanos, true);
    }
}

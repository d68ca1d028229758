package io.millrace.router.core.placement;

import java.util.List;

/**
 * What a request will cost, as far as can be told without a tokenizer.
 *
 * @param promptTokens estimate
 * @param outputTokens estimate, of all choices
 * @param prefixHashes text hashes of its chunks, see {@link io.millrace.shared.id.PrefixHasher}
 * @param numericsId numerics of its accepted tokens, which the next worker should share; or empty
 * @param solo it must not share a worker with another suspect
 * @param idle it takes only places that others leave
 */
public record Demand(
        long promptTokens, long outputTokens, List<Long> prefixHashes, String numericsId, boolean solo, boolean idle) {}

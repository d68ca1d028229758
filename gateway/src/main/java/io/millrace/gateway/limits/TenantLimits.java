package io.millrace.gateway.limits;

/**
 * What each tenant, or key, may do at this gateway; 0 is no limit.
 *
 * @param requestsPerMinute requests begun in a minute
 * @param tokensPerMinute tokens, prompt and output, in a minute: estimated at first, settled by the journal's usage
 * @param concurrent requests at one time
 */
public record TenantLimits(int requestsPerMinute, int tokensPerMinute, int concurrent) {

    public static final TenantLimits NONE = new TenantLimits(0, 0, 0);

    /** These, and the others' where there is none. */
    public TenantLimits or(TenantLimits others) {
        return new TenantLimits(
                requestsPerMinute == 0 ? others.requestsPerMinute : requestsPerMinute,
                tokensPerMinute == 0 ? others.tokensPerMinute : tokensPerMinute,
                concurrent == 0 ? others.concurrent : concurrent);
    }
}

package io.millrace.gateway.limits;

import org.jspecify.annotations.Nullable;

/**
 * How much of its limits an account has left.
 *
 * @param requests of a minute; null: no limit
 * @param tokens of a minute; null: no limit
 */
public record Rates(@Nullable Rate requests, @Nullable Rate tokens) {

    /**
     * One limit.
     *
     * @param resetMs until all of it is there again
     */
    public record Rate(int limit, long remaining, long resetMs) {}
}

package io.millrace.router.core.placement;

/** How the worker for a request is chosen. */
public enum Policy {
    /** The lowest predicted cost, cached prefixes counted. */
    COST,
    /** The smallest share of its places in use; equal ones at random. */
    LEAST_LOADED,
    /** One after the other, as far as they have room. */
    ROUND_ROBIN
}

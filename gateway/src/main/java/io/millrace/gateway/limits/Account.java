package io.millrace.gateway.limits;

/**
 * Whose limits count: a tenant's, or those of a key that has its own.
 *
 * @param name the same at all gateways
 */
public record Account(String name, TenantLimits limits) {}

/**
 * The protocol under a seeded simulation in virtual time: the real router core and the real fold, simulated workers, gateways
 * and log.
 */
@NullMarked
package io.millrace.router.sim;

import org.jspecify.annotations.NullMarked;

/** Counting crashes, so that a poisonous request ends. Imports shared-model. */
@NullMarked
package io.millrace.router.core.failover;

import org.jspecify.annotations.NullMarked;

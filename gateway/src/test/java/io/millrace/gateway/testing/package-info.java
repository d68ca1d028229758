/** A gateway over a real broker, and a scripted router and worker, for the tests. */
@NullMarked
package io.millrace.gateway.testing;

import org.jspecify.annotations.NullMarked;

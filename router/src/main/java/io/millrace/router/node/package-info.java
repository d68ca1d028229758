/** The router on a real log: drives the core, carries out its effects, measures and traces. Imports router.core and shared-model. */
@NullMarked
package io.millrace.router.node;

import org.jspecify.annotations.NullMarked;

/** The router as a pure state machine: records in, effects out; no I/O, no clock, no threads. Imports shared-model and its own subpackages. */
@NullMarked
package io.millrace.router.core;

import org.jspecify.annotations.NullMarked;

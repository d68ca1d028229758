/** Continuous batching: scheduler, paged KV cache, the loop. Imports backend, sampling, text, shared error and clock. See docs/engine.md. */
@NullMarked
package io.millrace.worker.engine;

import org.jspecify.annotations.NullMarked;

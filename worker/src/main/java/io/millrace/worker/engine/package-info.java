/** Continuous batching: scheduler, paged KV cache, the loop. Imports backend, sampling, text. */
@NullMarked
package io.millrace.worker.engine;

import org.jspecify.annotations.NullMarked;

/** Choosing the next id from logits. Imports nothing of ours. */
@NullMarked
package io.millrace.worker.sampling;

import org.jspecify.annotations.NullMarked;

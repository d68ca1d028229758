/** Stored tensors and their encodings. Imports nothing of ours. */
@NullMarked
package io.millrace.worker.model.weights;

import org.jspecify.annotations.NullMarked;

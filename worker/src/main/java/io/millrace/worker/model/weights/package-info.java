/** Stored tensors, their encodings, how they become float32, and the weights hash. Imports shared errors only. */
@NullMarked
package io.millrace.worker.model.weights;

import org.jspecify.annotations.NullMarked;

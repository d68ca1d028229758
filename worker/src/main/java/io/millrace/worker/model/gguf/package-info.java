/** Reads GGUF files: metadata and tensors, memory-mapped. Imports the weights package and shared errors. */
@NullMarked
package io.millrace.worker.model.gguf;

import org.jspecify.annotations.NullMarked;

/** Reads safetensors files and sharded folders, memory-mapped. Imports the weights package and shared errors. */
@NullMarked
package io.millrace.worker.model.safetensors;

import org.jspecify.annotations.NullMarked;

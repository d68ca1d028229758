/** Quantised safetensors checkpoints: their configs, the parts of a weight, and its values in float32. Imports weights, safetensors and shared errors. */
@NullMarked
package io.millrace.worker.model.quant;

import org.jspecify.annotations.NullMarked;

/** Step programs interpreted over DJL PyTorch arrays, float32. Imports backend, program, the model's config, decoder and weights, DJL. */
@NullMarked
package io.millrace.worker.backend.torch;

import org.jspecify.annotations.NullMarked;

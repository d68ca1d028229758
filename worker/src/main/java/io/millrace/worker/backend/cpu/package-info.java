/** Step programs replayed by the native kernels, one downcall a step. Imports backend, program, sampling, the model's config, decoder and weights. */
@NullMarked
package io.millrace.worker.backend.cpu;

import org.jspecify.annotations.NullMarked;

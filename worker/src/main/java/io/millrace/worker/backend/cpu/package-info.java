/** Step programs replayed by native kernels, one downcall a step, on the CPU or on a CUDA device behind the same C ABI. Imports backend, program, sampling, the model's config, decoder and weights. */
@NullMarked
package io.millrace.worker.backend.cpu;

import org.jspecify.annotations.NullMarked;

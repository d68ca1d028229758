/** Choosing the next id from logits: parameters, sampler, counter-based random numbers. Imports shared error. */
@NullMarked
package io.millrace.worker.sampling;

import org.jspecify.annotations.NullMarked;

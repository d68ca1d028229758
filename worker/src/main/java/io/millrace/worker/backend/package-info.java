/** The seam between the engine and what computes: step inputs and outputs, loaded models. Imports sampling and shared error. */
@NullMarked
package io.millrace.worker.backend;

import org.jspecify.annotations.NullMarked;

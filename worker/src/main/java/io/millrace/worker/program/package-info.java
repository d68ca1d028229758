/** Step programs: the ops between a model and a backend, their tensors, and how they are recorded. Imports nothing of ours. */
@NullMarked
package io.millrace.worker.program;

import org.jspecify.annotations.NullMarked;

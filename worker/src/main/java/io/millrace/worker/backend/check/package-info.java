/** Whether a device computes what it should: a small model of a model's own kinds, on the device and on the processor. */
@NullMarked
package io.millrace.worker.backend.check;

import org.jspecify.annotations.NullMarked;

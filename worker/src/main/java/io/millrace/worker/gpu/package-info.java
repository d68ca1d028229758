/** What NVIDIA's management library says of the graphics processors of this machine, as metrics. Imports coded errors. */
@NullMarked
package io.millrace.worker.gpu;

import org.jspecify.annotations.NullMarked;

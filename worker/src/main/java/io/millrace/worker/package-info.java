/** A worker's configuration. Imports worker.journal. */
@NullMarked
package io.millrace.worker;

import org.jspecify.annotations.NullMarked;

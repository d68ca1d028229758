/** Whether a model and its cache fit, and how many blocks the cache gets. Imports backend and the model's config and decoder. */
@NullMarked
package io.millrace.worker.backend.memory;

import org.jspecify.annotations.NullMarked;

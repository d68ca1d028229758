/** Finds a model by its name: files, the local cache, the hub, a Python package. Imports shared errors only. */
@NullMarked
package io.millrace.worker.model.hub;

import org.jspecify.annotations.NullMarked;

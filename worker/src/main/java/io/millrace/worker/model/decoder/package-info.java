/** The one decoder: a config and a checkpoint become weight slots and a step program. Imports config, weights, program. */
@NullMarked
package io.millrace.worker.model.decoder;

import org.jspecify.annotations.NullMarked;

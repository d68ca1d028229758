/** Models that give one row for each input: encoders, embedding models, classification heads. Imports config, decoder, weights, program. */
@NullMarked
package io.millrace.worker.model.encoder;

import org.jspecify.annotations.NullMarked;

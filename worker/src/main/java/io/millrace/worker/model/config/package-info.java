/** What a decoder-only model is made of, read from config.json or GGUF metadata. Imports the errors of shared-model only. */
@NullMarked
package io.millrace.worker.model.config;

import org.jspecify.annotations.NullMarked;

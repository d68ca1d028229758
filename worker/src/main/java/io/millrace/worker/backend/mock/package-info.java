/**
 * A runtime without a model whose tokens prove that the engine kept its books: the oracle of scheduling, and the load generator.
 * Imports backend, sampling, text (the interface), shared error.
 */
@NullMarked
package io.millrace.worker.backend.mock;

import org.jspecify.annotations.NullMarked;

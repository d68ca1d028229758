/** Benchmarks, each bounded, with a table and JSON under bench/results. Imports standalone's public parts. */
@NullMarked
package io.millrace.bench;

import org.jspecify.annotations.NullMarked;

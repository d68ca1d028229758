/** Faults on real processes under load, and an oracle that compares every answer with the undisturbed one. */
@NullMarked
package io.millrace.bench.chaos;

import org.jspecify.annotations.NullMarked;

/** Malformed requests made by chance, sent in great number, and what must be true of every answer. Imports nothing of Millrace. */
@NullMarked
package io.millrace.standalone.fuzz;

import org.jspecify.annotations.NullMarked;

/** How models write what is not plain text: calls of functions, and reasoning. Imports nothing. */
@NullMarked
package io.millrace.shared.output;

import org.jspecify.annotations.NullMarked;

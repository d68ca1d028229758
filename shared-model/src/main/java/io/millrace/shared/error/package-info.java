/** Coded errors. Imports nothing. */
@NullMarked
package io.millrace.shared.error;

import org.jspecify.annotations.NullMarked;

/** TODO. */
@NullMarked
package io.millrace.router;

import org.jspecify.annotations.NullMarked;

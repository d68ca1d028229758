/** The router: admission, queue, placement, fail-over. Imports shared-model. */
@NullMarked
package io.millrace.router;

import org.jspecify.annotations.NullMarked;

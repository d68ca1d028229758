/** Where the time of one request went, as the console draws it: from Jaeger where there is one, else from the journal. */
@NullMarked
package io.millrace.gateway.trace;

import org.jspecify.annotations.NullMarked;

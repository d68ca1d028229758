/** What the client sees, as pure functions of accepted journal records: no I/O, no clocks, no threads. Imports shared-model. */
@NullMarked
package io.millrace.gateway.stream;

import org.jspecify.annotations.NullMarked;

/** What every HTTP request passes first: origin, key, ids, rates. Imports auth, limits and stream (errors). */
@NullMarked
package io.millrace.gateway.edge;

import org.jspecify.annotations.NullMarked;

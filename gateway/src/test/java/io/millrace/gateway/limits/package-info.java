/** Tests of {@code limits}. */
@NullMarked
package io.millrace.gateway.limits;

import org.jspecify.annotations.NullMarked;

/** Whether a call may enter the log: credits of the routers, limits of tenants. Imports node and stream (errors). */
@NullMarked
package io.millrace.gateway.limits;

import org.jspecify.annotations.NullMarked;

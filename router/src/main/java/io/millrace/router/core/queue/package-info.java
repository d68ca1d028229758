/** Requests that wait: priority bands with ageing, fair share across tenants, earliest deadline. Imports nothing of ours. */
@NullMarked
package io.millrace.router.core.queue;

import org.jspecify.annotations.NullMarked;

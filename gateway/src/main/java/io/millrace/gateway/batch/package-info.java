/** Files that clients upload, and batches of requests that run in idle time. Imports node and stream, and shared-model. */
@NullMarked
package io.millrace.gateway.batch;

import org.jspecify.annotations.NullMarked;

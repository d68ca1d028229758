/** This gateway among the others: its reader of the journals, its view of the cluster, its beats, and the way of a call into the log and back. Imports stream and shared-model. */
@NullMarked
package io.millrace.gateway.node;

import org.jspecify.annotations.NullMarked;

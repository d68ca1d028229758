/** The worker's side of the protocol: assignments in, journal records and heartbeats out. Imports engine, sampling, and shared-model. */
@NullMarked
package io.millrace.worker.journal;

import org.jspecify.annotations.NullMarked;

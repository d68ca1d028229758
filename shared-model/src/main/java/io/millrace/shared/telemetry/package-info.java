/** OpenTelemetry for a part: its tracer, and trace contexts on the topics. Imports the messages and coded errors. */
@NullMarked
package io.millrace.shared.telemetry;

import org.jspecify.annotations.NullMarked;

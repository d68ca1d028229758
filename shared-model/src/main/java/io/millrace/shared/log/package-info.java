/** The durable log as the protocol sees it: append, read, time. Imports nothing of ours but topics. */
@NullMarked
package io.millrace.shared.log;

import org.jspecify.annotations.NullMarked;

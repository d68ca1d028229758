/** What the log alone says of one request: its spans, its attempts, where its time went. Imports the messages, the fold and the log. */
@NullMarked
package io.millrace.shared.trace;

import org.jspecify.annotations.NullMarked;

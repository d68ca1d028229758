/** The topics and their layout. Imports nothing of ours. */
@NullMarked
package io.millrace.shared.topic;

import org.jspecify.annotations.NullMarked;

/** Requests of the log run again: replays compared with what they were, dead letters tried once more. Imports shared-model. */
@NullMarked
package io.millrace.standalone.rerun;

import org.jspecify.annotations.NullMarked;

/** The commands. Imports parts, processes, configuration. */
@NullMarked
package io.millrace.standalone.cli;

import org.jspecify.annotations.NullMarked;

/** The program: its main class. Imports the command line. */
@NullMarked
package io.millrace.standalone;

import org.jspecify.annotations.NullMarked;

/** Parts as child processes: started, watched, started again. Imports coded errors only. */
@NullMarked
package io.millrace.standalone.process;

import org.jspecify.annotations.NullMarked;

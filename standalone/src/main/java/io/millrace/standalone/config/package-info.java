/** Every property of the program, as records, and the check that refuses unknown ones. Imports settings of the parts. */
@NullMarked
package io.millrace.standalone.config;

import org.jspecify.annotations.NullMarked;

/** The journal's fold: what a request's records mean, alike for every reader. Imports the messages and the log seam. */
@NullMarked
package io.millrace.shared.fold;

import org.jspecify.annotations.NullMarked;

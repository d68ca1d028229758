/** What the parts need of the machine's network before they listen. Imports nothing. */
@NullMarked
package io.millrace.shared.net;

import org.jspecify.annotations.NullMarked;

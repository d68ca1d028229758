/** Ids and hashes that every part derives alike. Imports nothing of ours. */
@NullMarked
package io.millrace.shared.id;

import org.jspecify.annotations.NullMarked;

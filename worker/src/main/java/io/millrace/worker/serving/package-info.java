/** Models as a worker serves them: found, loaded, composed with tokenizer, template and engine; requests made ready. Imports all of the worker but the journal's protocol. */
@NullMarked
package io.millrace.worker.serving;

import org.jspecify.annotations.NullMarked;

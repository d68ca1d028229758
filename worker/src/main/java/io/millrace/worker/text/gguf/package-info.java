/** The tokenizer in a GGUF file's metadata. Imports text and its vocab. */
@NullMarked
package io.millrace.worker.text.gguf;

import org.jspecify.annotations.NullMarked;

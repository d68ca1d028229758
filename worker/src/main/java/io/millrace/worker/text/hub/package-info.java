/** Tokenizers of the Hugging Face hub's model folders, in all the files that they come in. Imports text and its vocab. */
@NullMarked
package io.millrace.worker.text.hub;

import org.jspecify.annotations.NullMarked;

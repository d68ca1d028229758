/** Tokenizers of the model folders of the Hugging Face hub: tokenizer.json, by way of DJL. Imports text. */
@NullMarked
package io.millrace.worker.text.hub;

import org.jspecify.annotations.NullMarked;

/** WordPiece, the tokenizer of BERT, from vocab.txt and from GGUF metadata. Imports text and shared error. */
@NullMarked
package io.millrace.worker.text.wordpiece;

import org.jspecify.annotations.NullMarked;

/** Tokenizers built from the vocabulary in a GGUF file's metadata: byte-level BPE and sentencepiece BPE. Imports text. */
@NullMarked
package io.millrace.worker.text.gguf;

import org.jspecify.annotations.NullMarked;

/** Tokenizers built from a vocabulary: byte-level BPE, sentencepiece BPE and unigram. Imports text. */
@NullMarked
package io.millrace.worker.text.vocab;

import org.jspecify.annotations.NullMarked;

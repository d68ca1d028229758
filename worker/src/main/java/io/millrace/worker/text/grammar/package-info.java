/**
 * Structured output: from what a client asks for to the tokens that may come next. Imports its subpackages, the tokenizer's interface
 * sampling's mask and shared error.
 */
@NullMarked
package io.millrace.worker.text.grammar;

import org.jspecify.annotations.NullMarked;

/** Tokenizers, chat templates, incremental detokenizer. Imports the readers of model files. */
@NullMarked
package io.millrace.worker.text;

import org.jspecify.annotations.NullMarked;

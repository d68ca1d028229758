/** Chat templates: the part of Jinja 2 that models use, as Hugging Face transformers sets it up. Imports text. */
@NullMarked
package io.millrace.worker.text.jinja;

import org.jspecify.annotations.NullMarked;

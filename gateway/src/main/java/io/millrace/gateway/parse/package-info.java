/** From a model's raw text to content, reasoning and calls of functions, as it comes. Imports shared-model. */
@NullMarked
package io.millrace.gateway.parse;

import org.jspecify.annotations.NullMarked;

/** The gateway: OpenAI's HTTP and WebSocket interfaces over the log. Imports shared-model. */
@NullMarked
package io.millrace.gateway;

import org.jspecify.annotations.NullMarked;

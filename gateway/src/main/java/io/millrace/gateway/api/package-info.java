/** The endpoints: parsing and validation of bodies, answers, errors, the WebSocket. Imports the gateway's other packages and shared-model. */
@NullMarked
package io.millrace.gateway.api;

import org.jspecify.annotations.NullMarked;

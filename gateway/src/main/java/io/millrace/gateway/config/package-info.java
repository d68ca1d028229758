/** Settings, and the Spring beans of the gateway. Imports the gateway's other packages and shared-model. */
@NullMarked
package io.millrace.gateway.config;

import org.jspecify.annotations.NullMarked;

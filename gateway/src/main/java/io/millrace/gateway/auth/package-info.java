/** Who calls and what they may: API keys, their scopes, tenants and limits. Imports stream (errors) and limits. */
@NullMarked
package io.millrace.gateway.auth;

import org.jspecify.annotations.NullMarked;

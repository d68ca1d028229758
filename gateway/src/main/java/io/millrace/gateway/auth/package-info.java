/** Who calls: API keys to tenants. Imports stream (errors). */
@NullMarked
package io.millrace.gateway.auth;

import org.jspecify.annotations.NullMarked;

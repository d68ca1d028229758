/** Who is there: workers, routers and gateways by their beats, and who owns which partition. Imports shared-model. */
@NullMarked
package io.millrace.router.core.membership;

import org.jspecify.annotations.NullMarked;

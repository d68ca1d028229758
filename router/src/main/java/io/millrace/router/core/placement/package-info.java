/** Where to send a request: predicted cost over the workers that serve its model. Imports shared-model and membership. */
@NullMarked
package io.millrace.router.core.placement;

import org.jspecify.annotations.NullMarked;

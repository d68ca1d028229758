package io.millrace.gateway.node;

import io.millrace.shared.error.MillraceException;

/** A client that read too slowly was cut. */
public final class SlowClientException extends MillraceException {

    private static final long serialVersionUID = 1L;

    SlowClientException(long lagBytes) {
        super(
                "MR-GW-006",
                "The client is %,d bytes behind and was cut; raise millrace.gateway.lag-max or read faster."
                        .formatted(lagBytes));
    }
}

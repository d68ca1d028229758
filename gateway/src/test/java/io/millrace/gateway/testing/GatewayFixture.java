package io.millrace.gateway.testing;

import org.junit.jupiter.api.extension.ExtensionContext;
import org.junit.jupiter.api.extension.ParameterContext;
import org.junit.jupiter.api.extension.ParameterResolver;

/** Gives tests one {@link Gateway} that they all share: starting a broker takes seconds. */
public final class GatewayFixture implements ParameterResolver {

    private static final ExtensionContext.Namespace SPACE = ExtensionContext.Namespace.create(GatewayFixture.class);

    @Override
    public boolean supportsParameter(ParameterContext parameter, ExtensionContext context) {
        return parameter.getParameter().getType() == Gateway.class;
    }

    @Override
    public Object resolveParameter(ParameterContext parameter, ExtensionContext context) {
        return context.getRoot()
                .getStore(SPACE)
                .computeIfAbsent(
                        Gateway.class,
                        type -> Gateway.start(
                                "millrace.gateway.open-after=700ms",
                                "millrace.gateway.heartbeat=300ms",
                                "millrace.gateway.body-timeout=20s"),
                        Gateway.class);
    }
}

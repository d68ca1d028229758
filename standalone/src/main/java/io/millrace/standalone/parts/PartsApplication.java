package io.millrace.standalone.parts;

import io.millrace.shared.error.MillraceException;
import io.millrace.standalone.config.AllProperties;
import io.millrace.standalone.config.WorkerProperties;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;
import org.springframework.boot.WebApplicationType;
import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.boot.web.server.PortInUseException;
import org.springframework.boot.web.server.context.WebServerApplicationContext;
import org.springframework.context.ConfigurableApplicationContext;
import org.springframework.context.support.GenericApplicationContext;
import org.springframework.core.env.MapPropertySource;

/** Parts that run in this process, in one Spring context. */
public final class PartsApplication implements AutoCloseable {

    private final ConfigurableApplicationContext context;

    private PartsApplication(ConfigurableApplicationContext context) {
        this.context = context;
    }

    /**
     * Starts parts; returns while they are still starting ({@link #parts} says how far they are).
     *
     * @param flags properties from the command line: they come before the environment and files
     * @param defaults properties that count where nothing else gives them
     * @param broker completes when the broker in this process takes clients; completed when there is none
     * @param progress hears lines for a person
     * @throws MillraceException MR-CONF-001 an unknown property, MR-MAIN-002 the port is taken, and what the parts throw
     */
    public static PartsApplication start(
            Set<Role> roles,
            Map<String, Object> flags,
            Map<String, Object> defaults,
            CompletableFuture<?> broker,
            Consumer<String> progress) {
        List<Class<?>> sources = new ArrayList<>(List.of(PartsConfiguration.class));
        if (roles.contains(Role.GATEWAY)) {
            sources.add(GatewayParts.class);
        }
        if (roles.contains(Role.ROUTER)) {
            sources.add(RouterParts.class);
        }
        if (roles.contains(Role.WORKER)) {
            sources.add(WorkerParts.class);
        }
        var builder = new SpringApplicationBuilder(sources.toArray(Class<?>[]::new))
                .web(WebApplicationType.REACTIVE)
                .logStartupInfo(false)
                .registerShutdownHook(false)
                .properties(defaults)
                .initializers(fresh -> {
                    var generic = (GenericApplicationContext) fresh;
                    fresh.getEnvironment().getPropertySources().addFirst(new MapPropertySource("flags", flags));
                    AllProperties.unknown().check(fresh.getEnvironment());
                    generic.registerBean(RunningParts.class, () -> new RunningParts(roles, broker, progress));
                });
        try {
            return new PartsApplication(builder.run());
        } catch (RuntimeException failure) {
            throw coded(failure);
        }
    }

    /** The parts of this process. */
    public List<Part> parts() {
        return PartsConfiguration.all(context.getBeanProvider(PartGroup.class));
    }

    /** Port of the web server: the gateway's, or that of health and metrics. */
    public int port() {
        var server = ((WebServerApplicationContext) context).getWebServer();
        return server == null ? -1 : server.getPort();
    }

    /** How long what runs in workers may still finish when this is closed; zero where there are none. */
    public Duration drainGrace() {
        WorkerProperties worker =
                context.getBeanProvider(WorkerProperties.class).getIfAvailable();
        return worker == null ? Duration.ZERO : worker.drainGrace();
    }

    /** Stops the parts: gateway, workers, router. */
    @Override
    public void close() {
        context.close();
    }

    private static RuntimeException coded(RuntimeException failure) {
        for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
            if (cause instanceof MillraceException found) {
                return found;
            }
            if (cause instanceof PortInUseException taken) {
                return new MillraceException(
                        "MR-MAIN-002",
                        "Port " + taken.getPort() + " is taken. Stop what uses it, or choose another with --port.",
                        failure);
            }
        }
        return failure;
    }
}

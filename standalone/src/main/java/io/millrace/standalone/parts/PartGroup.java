package io.millrace.standalone.parts;

import java.util.List;
import org.springframework.context.SmartLifecycle;

/** Parts of one kind, started and stopped by Spring; a higher phase stops earlier. */
final class PartGroup implements SmartLifecycle {

    static final int GATEWAYS = 300;
    /** Leave before the workers go, so that what stops together is not taken for lost. */
    static final int ROUTERS = 200;

    static final int WORKERS = 100;

    private final int phase;
    private final List<? extends StartingPart> parts;
    private volatile boolean running;

    PartGroup(int phase, List<? extends StartingPart> parts) {
        this.phase = phase;
        this.parts = List.copyOf(parts);
    }

    List<? extends Part> parts() {
        return parts;
    }

    @Override
    public void start() {
        running = true;
        parts.forEach(StartingPart::start);
    }

    @Override
    public void stop() {
        running = false;
        List<Thread> stopping = parts.stream()
                .map(part -> Thread.ofPlatform().name("stop-" + part.name()).start(part::stop))
                .toList();
        for (Thread each : stopping) {
            try {
                each.join();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                return;
            }
        }
    }

    @Override
    public boolean isRunning() {
        return running;
    }

    @Override
    public int getPhase() {
        return phase;
    }
}

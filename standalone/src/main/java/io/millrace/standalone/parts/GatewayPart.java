package io.millrace.standalone.parts;

import io.millrace.shared.log.kafka.TopicAccess;
import java.util.function.BooleanSupplier;

/** The gateway of this process; its beans live in Spring, so this only waits until calls can be served. */
final class GatewayPart extends StartingPart {

    private final KafkaGate kafka;
    private final BooleanSupplier ready;

    GatewayPart(KafkaGate kafka, BooleanSupplier ready) {
        this.kafka = kafka;
        this.ready = ready;
    }

    @Override
    public String name() {
        return "gateway";
    }

    /** Kafka is enough: the router it also needs may be another process that comes later. */
    @Override
    String open() throws InterruptedException {
        kafka.await("gateway", TopicAccess.GATEWAY);
        return "";
    }

    @Override
    public boolean isReady() {
        return ready.getAsBoolean();
    }

    @Override
    void shut() {
        // Spring closes its beans.
    }
}

package io.millrace.standalone.parts;

import java.util.List;
import java.util.function.Predicate;
import java.util.function.Supplier;
import org.springframework.boot.health.contributor.AbstractHealthIndicator;
import org.springframework.boot.health.contributor.Health;

/** Up when every part of this process is what is asked of it. */
final class PartsHealth extends AbstractHealthIndicator {

    private final Supplier<List<Part>> parts;
    private final Predicate<Part> asked;
    private final String word;

    /** @param word for a part of which {@code asked} is true, such as "ready" */
    PartsHealth(Supplier<List<Part>> parts, Predicate<Part> asked, String word) {
        this.parts = parts;
        this.asked = asked;
        this.word = word;
    }

    @Override
    protected void doHealthCheck(Health.Builder builder) {
        boolean all = true;
        for (Part part : parts.get()) {
            boolean is = asked.test(part);
            all &= is;
            builder.withDetail(part.name(), is ? word : "not " + word);
        }
        builder.status(all ? "UP" : "OUT_OF_SERVICE");
    }
}

package io.millrace.router.sim;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Shows that the oracle bites: without any one of these rules the simulation finds violations. */
class MutationTest {

    private static final long SEEDS_MAX = Integer.getInteger("sim.mutation-seeds", 6_000);
    private static final int ENOUGH = 3;

    @ParameterizedTest
    @EnumSource(
            value = Mutation.class,
            mode = EnumSource.Mode.EXCLUDE,
            names = {"NONE", "SILENCE_BY_CLOCK"})
    void withoutTheRuleTheOracleFindsViolations(Mutation mutation) {
        AtomicInteger found = new AtomicInteger();
        AtomicInteger tried = new AtomicInteger();
        StringBuffer first = new StringBuffer();
        LongStream.range(0, SEEDS_MAX).takeWhile(seed -> found.get() < ENOUGH).forEach(seed -> {
            SimWorld.Outcome outcome = SimWorld.run(seed, mutation, false);
            tried.incrementAndGet();
            if (outcome.violations().stream().anyMatch(each -> each.contains(sign(mutation)))) {
                found.incrementAndGet();
                if (first.isEmpty()) {
                    first.append("seed ")
                            .append(seed)
                            .append(": ")
                            .append(outcome.violations().getFirst());
                }
            }
        });
        System.out.printf("%s: %d of %d seeds; %s%n", mutation, found.get(), tried.get(), first);
        assertThat(found.get()).as("violations without %s", mutation).isGreaterThanOrEqualTo(ENOUGH);
    }

    @Test
    void whenSilenceIsJudgedByARoutersClockAStandstillOfTheLogFencesWhatIsWell() {
        long fencing = LongStream.range(0, 300)
                .filter(seed -> SimWorld.run(seed, Mutation.SILENCE_BY_CLOCK, Faults.Plan.STALLS, false)
                                .fences()
                        > 0)
                .limit(ENOUGH)
                .count();
        assertThat(fencing).isEqualTo(ENOUGH);
    }

    /** What the oracle says of the harm that the rule prevents. */
    private static String sign(Mutation mutation) {
        return switch (mutation) {
            case NO_FENCE, DERIVED_AIDS, DEDUP_BY_POSITION, NO_READ_BACK, RESUME_FROM_PROMPT, AID_RUN_AGAIN ->
                "does not belong to its prefix";
            case NO_REQ, CLAIM_BEFORE_ADMIT -> " sees ";
            case LATE_CHECKPOINT -> " not see ";
            case NUMBER_BY_SENT -> "not ended";
            case NONE, SILENCE_BY_CLOCK -> throw new IllegalArgumentException("no mutation");
        };
    }
}

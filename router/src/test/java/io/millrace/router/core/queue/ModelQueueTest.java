package io.millrace.router.core.queue;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class ModelQueueTest {

    private FairShare shares = new FairShare(Map.of("heavy", 3.0));
    private ModelQueue<String> queue = new ModelQueue<>(shares, 1_000);

    private List<String> drain(long nowMs, int tokensEach) {
        List<String> order = new ArrayList<>();
        for (var next = queue.peek(nowMs); next != null; next = queue.peek(nowMs)) {
            order.add(next.item());
            queue.remove(next.item());
            shares.charge(next.tenant(), tokensEach);
        }
        return order;
    }

    @Test
    void theHigherBandComesFirstThenTheEarlierDeadline() {
        queue.add("low", "t", 1, 10, 1, 0);
        queue.add("late", "t", 3, 300, 1, 0);
        queue.add("soon", "t", 3, 200, 1, 0);
        queue.add("resumed", "t", ModelQueue.BAND_RESUME, 900, 1, 0);
        assertThat(drain(0, 1)).containsExactly("resumed", "soon", "late", "low");
        assertThat(queue.size()).isZero();
        assertThat(queue.tokens()).isZero();
    }

    private void assertNext(long nowMs, String item) {
        assertThat(queue.peek(nowMs))
                .isNotNull()
                .extracting(ModelQueue.Waiting::item)
                .isEqualTo(item);
    }

    @Test
    void waitingLiftsARequestBandByBand() {
        queue.add("old", "t", 1, 900, 1, 0);
        queue.add("new", "t", 2, 100, 1, 900);
        assertNext(900, "new");
        queue.add("newer", "t", 1, 50, 1, 900);
        assertNext(1_100, "new");
        queue.remove("new");
        assertNext(1_100, "old");
        assertNext(2_100, "old");
    }

    @Test
    void batchesComeLastHoweverLongTheyWait() {
        queue.add("batch", "t", ModelQueue.BAND_BATCH, 10, 1, 0);
        queue.add("low", "t", 1, 900, 1, 99_000);
        assertThat(queue.ofBatches()).isOne();
        assertNext(100_000, "low");
        queue.remove("low");
        assertNext(100_000, "batch");
        queue.remove("batch");
        assertThat(queue.ofBatches()).isZero();
        assertThat(queue.sizes()).isEmpty();
    }

    @Test
    void tenantsGetServiceByTheirWeightHoweverMuchTheyAsk() {
        assertThat(heavyOfTwenty()).isBetween(14L, 16L);
    }

    /** The mutation that the check above must find. */
    @Test
    void aQueueThatKnowsNoWeightsIsFoundOut() {
        shares = new FairShare(Map.of());
        queue = new ModelQueue<>(shares, 1_000);
        assertThat(heavyOfTwenty()).isLessThan(14L);
    }

    private long heavyOfTwenty() {
        for (int i = 0; i < 40; i++) {
            queue.add("heavy" + i, "heavy", 2, i, 1, 0);
            queue.add("light" + i, "light", 2, i, 1, 0);
        }
        List<String> first = drain(0, 10).subList(0, 20);
        return first.stream().filter(item -> item.startsWith("heavy")).count();
    }

    @Test
    void idlenessSavesUpNothing() {
        shares.charge("busy", 1_000);
        queue.add("b0", "busy", 2, 1, 1, 0);
        queue.add("b1", "busy", 2, 2, 1, 0);
        queue.add("n0", "newcomer", 2, 5, 1, 0);
        queue.add("n1", "newcomer", 2, 6, 1, 0);
        assertThat(drain(0, 100)).containsExactly("b0", "n0", "b1", "n1");
    }

    @Test
    void aCheckpointCarriesTheTenantsWithTheMostService() {
        for (int i = 0; i < 50; i++) {
            shares.charge("t" + i, i);
        }
        assertThat(shares.counters(2)).containsOnlyKeys("t49", "t48");
        FairShare next = new FairShare(Map.of());
        next.merge(shares.counters(2));
        assertThat(next.served("t49")).isEqualTo(49);
    }
}

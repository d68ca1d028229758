package io.millrace.router.core.placement;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.router.core.membership.LogProgress;
import io.millrace.router.core.membership.Worker;
import io.millrace.router.core.membership.Workers;
import io.millrace.shared.proto.PrefixHint;
import io.millrace.shared.proto.ServedModel;
import io.millrace.shared.proto.WorkerBeat;
import java.util.List;
import java.util.Objects;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

class PlacementTest {

    private final Fleet fleet = new Fleet(2);
    private final Workers workers = new Workers(new LogProgress(250, 1_000), fleet);
    private final Placement placement =
            new Placement(fleet, new SplittableRandom(1), new Placement.Rules(Policy.COST, 1.25, 0, 1.05));

    private static ServedModel.Builder model(int running) {
        return ServedModel.newBuilder()
                .setName("m")
                .setMaxRunning(8)
                .setRunning(running)
                .setNumericsId("n")
                .setPrefillTokensPerS(1_000)
                .setDecodeStepS(0.02);
    }

    private void worker(String id, ServedModel.Builder model) {
        workers.apply(
                WorkerBeat.newBuilder()
                        .setWorker(id)
                        .setIncarnation(1)
                        .addModels(model)
                        .build(),
                0);
    }

    private static Demand demand(String numerics, boolean solo, long... hashes) {
        return new Demand(1_000, 50, java.util.Arrays.stream(hashes).boxed().toList(), numerics, solo, false);
    }

    private String choose(Demand demand) {
        Placement.Choice choice = placement.choose("m", 0, demand);
        return choice == null ? "none" : choice.worker().id();
    }

    @Test
    void aCachedPrefixIsWorthItsPrefillAndNoMore() {
        worker("cold", model(2));
        worker(
                "warm",
                model(2).addPrefixHints(PrefixHint.newBuilder().setHash(7).setTokens(900)));
        assertThat(choose(demand("", false, 6, 7))).isEqualTo("warm");
        worker(
                "warm",
                model(2).setQueuedPrefillTokens(5_000)
                        .addPrefixHints(PrefixHint.newBuilder().setHash(7).setTokens(900)));
        assertThat(choose(demand("", false, 6, 7))).isEqualTo("cold");
    }

    @Test
    void aWorkerFarOverTheMeanGetsNothingHoweverWarm() {
        worker("idle", model(0));
        worker(
                "warm",
                model(6).addPrefixHints(PrefixHint.newBuilder().setHash(7).setTokens(999)));
        assertThat(choose(demand("", false, 7))).isEqualTo("idle");
    }

    @Test
    void fullWorkersGetNothing() {
        worker("a", model(10));
        worker("b", model(10));
        assertThat(choose(demand("", false))).isEqualTo("none");
        assertThat(placement.room("m", 0)).isFalse();
    }

    @Test
    void aLackOfBlocksCostsItsWait() {
        worker("tight", model(2).setKvBlocksTotal(100).setKvBlocksFree(0).setBlockTokens(16));
        worker("roomy", model(2).setKvBlocksTotal(100).setKvBlocksFree(90).setBlockTokens(16));
        for (int i = 0; i < 10; i++) {
            assertThat(choose(demand("", false, i))).isEqualTo("roomy");
        }
    }

    @Test
    void aResumedRequestPrefersItsOwnNumericsAndTakesOthersWhenThereAreNone() {
        worker("other", model(0).setNumericsId("x"));
        worker("same", model(3));
        assertThat(choose(demand("n", false))).isEqualTo("other");
        worker("same", model(1));
        worker("other", model(1).setNumericsId("x"));
        assertThat(choose(demand("n", false))).isEqualTo("same");
        assertThat(choose(demand("gone", false))).isIn("same", "other");
    }

    @Test
    void aPrefixOfNoTokensIsNotHeld() {
        PrefixHint none = PrefixHint.newBuilder().setHash(7).build();
        worker("a", model(0).addPrefixHints(none));
        worker("b", model(0).addPrefixHints(none));
        worker(
                "warm",
                model(0).addPrefixHints(PrefixHint.newBuilder().setHash(7).setTokens(900)));
        assertThat(choose(demand("", false, 7))).isEqualTo("warm");
        for (String id : List.of("a", "b")) {
            Worker worker = Objects.requireNonNull(workers.find(id));
            var load = new Sent(List.of(7L));
            worker.sent(load);
            worker.over(load);
        }

        for (int beats = 0; beats < 2; beats++) {
            worker("a", model(0));
            worker("b", model(0));
            assertThat(choose(demand("", false, 7))).isEqualTo("warm");
        }
    }

    /** A request of so few tokens that the first prefix of its text has none. */
    private record Sent(List<Long> prefixHashes) implements Worker.Load {

        @Override
        public String model() {
            return "m";
        }

        @Override
        public long slotOffset() {
            return 0;
        }

        @Override
        public long promptTokens() {
            return 1;
        }

        @Override
        public long cachedTokens() {
            return 0;
        }

        @Override
        public boolean solo() {
            return false;
        }
    }

    @Test
    void equalCostsKeepAPrefixTogether() {
        for (int i = 0; i < 4; i++) {
            worker("w" + i, model(1));
        }
        String first = choose(demand("", false, 123));
        for (int i = 0; i < 20; i++) {
            assertThat(choose(demand("", false, 123))).isEqualTo(first);
        }
    }

    @Test
    void aWorkerThatSaysNothingOfItsPaceIsJudgedByItsJournals() {
        worker("slow", model(1).setDecodeStepS(0).setPrefillTokensPerS(0));
        worker("fast", model(1).setDecodeStepS(0).setPrefillTokensPerS(0));
        for (Worker each : workers.all()) {
            boolean fast = each.id().equals("fast");
            each.learnStep(fast ? 0.02 : 0.2, 2);
            each.learnPrefill(1, fast ? 2_000 : 200);
            assertThat(each.stepS(model(0).setDecodeStepS(0).build())).isEqualTo(fast ? 0.01 : 0.1);
        }
        for (int i = 0; i < 10; i++) {
            assertThat(choose(demand("", false, i))).isEqualTo("fast");
        }
    }

    @Test
    void suspectsAreNotPutTogether() {
        worker("a", model(0));
        Worker a = workers.all().iterator().next();
        a.sent(new Worker.Load() {
            @Override
            public String model() {
                return "m";
            }

            @Override
            public long slotOffset() {
                return 0;
            }

            @Override
            public long promptTokens() {
                return 1;
            }

            @Override
            public long cachedTokens() {
                return 0;
            }

            @Override
            public List<Long> prefixHashes() {
                return List.of();
            }

            @Override
            public boolean solo() {
                return true;
            }
        });
        assertThat(choose(demand("", true))).isEqualTo("none");
        assertThat(choose(demand("", false))).isEqualTo("a");
        assertThat(List.of(a.hasSolo())).containsExactly(true);
    }
}

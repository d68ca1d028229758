package io.millrace.bench;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class ContestTest {

    @Test
    void samplesOfAMachineThatWasNotWholeDoNotCount() {
        Contest contest = new Contest();
        contest.add("ours", 100, new MachineProbe.Sample(70, 2.0));
        contest.add("ours", 10, new MachineProbe.Sample(40, 2.0));
        contest.add("ours", 20, new MachineProbe.Sample(70, 1.4));
        contest.add("ours", 110, new MachineProbe.Sample(65, 1.95));

        Contest.Score score = contest.score("ours");

        assertThat(score.median()).isEqualTo(105);
        assertThat(score.counted()).isEqualTo(2);
        assertThat(score.taken()).isEqualTo(4);
    }

    @Test
    void aMachineThatNeverGivesSixtyIsHeldToItsOwnBest() {
        Contest contest = new Contest();
        contest.add("ours", 100, new MachineProbe.Sample(48, 2.0));
        contest.add("peer", 50, new MachineProbe.Sample(50, 2.0));
        contest.add("ours", 30, new MachineProbe.Sample(30, 2.0));

        assertThat(contest.leastReadGbS()).isEqualTo(45);
        assertThat(contest.score("ours").median()).isEqualTo(100);
        assertThat(contest.score("ours").counted()).isEqualTo(1);
    }

    @Test
    void withoutAnyGoodSampleAllAreTakenAndNoneCounts() {
        Contest contest = new Contest();
        contest.add("ours", 100, new MachineProbe.Sample(70, 1.2));
        contest.add("ours", 80, new MachineProbe.Sample(70, 1.3));

        assertThat(contest.score("ours").median()).isEqualTo(90);
        assertThat(contest.score("ours").counted()).isZero();
    }

    @Test
    void ratesAreReadFromThePeersTable() {
        String out = """
                llama_batched_bench: n_kv_max = 3072

                |    PP |     TG |    B |   N_KV |   T_PP s | S_PP t/s |   T_TG s | S_TG t/s |      T s |    S t/s |
                |-------|--------|------|--------|----------|----------|----------|----------|----------|----------|
                |   128 |     64 |   16 |   3072 |    1.500 |  1365.33 |    2.000 |   512.00 |    3.500 |   877.71 |
                """;

        assertThat(LlamaPeer.table(out, EngineWork.STREAMS))
                .containsEntry("prefill 16 x 128", 1365.33)
                .containsEntry("decode 16", 512.0);
    }
}

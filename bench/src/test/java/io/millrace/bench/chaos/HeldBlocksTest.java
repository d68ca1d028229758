package io.millrace.bench.chaos;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.shared.proto.RunningAttempt;
import io.millrace.shared.proto.ServedModel;
import io.millrace.shared.proto.WorkerBeat;
import org.junit.jupiter.api.Test;

class HeldBlocksTest {

    private final HeldBlocks held = new HeldBlocks();

    private static WorkerBeat.Builder beat(String worker, int free) {
        return WorkerBeat.newBuilder()
                .setWorker(worker)
                .addModels(ServedModel.newBuilder()
                        .setName("m")
                        .setKvBlocksTotal(100)
                        .setKvBlocksFree(free));
    }

    @Test
    void aWorkerWithoutRequestsThatHasNotAllItsBlocksHasLostSome() {
        held.heard(beat("whole", 100).build(), 2_000);
        held.heard(beat("leaks", 97).build(), 2_000);
        assertThat(held.heldSince(1_000)).containsExactly("leaks, m: 3 of 100 KV blocks held, 0 running, 0 waiting");
        held.heard(beat("leaks", 100).build(), 3_000);
        assertThat(held.heldSince(1_000)).isEmpty();
        assertThat(held.workersSince(1_000)).isEqualTo(2);
    }

    @Test
    void onlyWhatWasSaidSinceCounts() {
        held.heard(beat("gone", 50).build(), 1_000);
        held.heard(
                beat("runs", 100)
                        .addAttempts(RunningAttempt.getDefaultInstance())
                        .build(),
                2_000);
        assertThat(held.workersSince(1_500)).isOne();
        assertThat(held.heldSince(1_500)).containsExactly("runs has 1 attempts");
    }
}

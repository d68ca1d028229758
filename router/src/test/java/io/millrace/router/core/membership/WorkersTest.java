package io.millrace.router.core.membership;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.router.core.placement.Fleet;
import io.millrace.shared.proto.WorkerBeat;
import java.util.Objects;
import org.junit.jupiter.api.Test;

class WorkersTest {

    private final LogProgress progress = new LogProgress(250, 1_000);
    private final Workers workers = new Workers(progress, new Fleet(2));

    @Test
    void onlyAWorkerThatWasThereAndWentWithoutAWordIsNews() {
        workers.apply(beat("long-gone").build(), 5_000);
        workers.apply(beat("leaves").build(), 9_900);
        workers.apply(beat("falls-silent").build(), 9_900);
        workers.apply(beat("breaks").build(), 9_900);
        progress.own(10_000);
        for (String name : new String[] {"leaves", "falls-silent", "breaks"}) {
            workers.apply(beat(name).build(), 10_100);
        }
        workers.apply(beat("leaves").setLeaving(true).build(), 10_200);
        workers.livenessLost("breaks", 1);
        for (long ms = 10_250; ms <= 12_000; ms += 250) {
            progress.own(ms);
        }

        assertThat(workers.judge()).hasSize(4);
        assertThat(workers.all()).allMatch(worker -> !workers.live(worker));
        assertThat(find("long-gone").expected()).isTrue();
        assertThat(find("leaves").expected()).isTrue();
        assertThat(find("leaves").cause()).isEqualTo("it left");
        assertThat(find("falls-silent").expected()).isFalse();
        assertThat(find("falls-silent").cause()).isEqualTo("its heartbeats stay away");
        assertThat(find("breaks").expected()).isFalse();
        assertThat(find("breaks").cause()).isEqualTo("its connection broke");
    }

    @Test
    void oneThatCannotBeReachedBeforeTheFirstOwnBeatIsReadIsNoNews() {
        workers.apply(beat("earlier-life").build(), 5_000);
        workers.livenessLost("earlier-life", 1);

        assertThat(workers.judge()).hasSize(1);
        assertThat(find("earlier-life").expected()).isTrue();
    }

    private Worker find(String id) {
        return Objects.requireNonNull(workers.find(id));
    }

    private static WorkerBeat.Builder beat(String worker) {
        return WorkerBeat.newBuilder().setWorker(worker).setIncarnation(1);
    }
}

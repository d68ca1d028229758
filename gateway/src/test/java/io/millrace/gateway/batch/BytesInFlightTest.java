package io.millrace.gateway.batch;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import reactor.core.Disposable;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Sinks;

class BytesInFlightTest {

    @Test
    void whatDoesNotFitWaitsInItsOrderAndWhatNeverFitsGoesAlone() {
        var bytes = new BytesInFlight(10);
        List<String> taken = new ArrayList<>();
        bytes.take(6).subscribe(yes -> taken.add("6"));
        bytes.take(5).subscribe(yes -> taken.add("5"));
        Disposable cancelled = bytes.take(1).subscribe(yes -> taken.add("cancelled"));
        bytes.take(99).subscribe(yes -> taken.add("99"));
        assertThat(taken).containsExactly("6");
        cancelled.dispose();
        bytes.give(6);
        assertThat(taken).containsExactly("6", "5");
        bytes.give(5);
        assertThat(taken).containsExactly("6", "5", "99");
        assertThat(bytes.held()).isEqualTo(99);
        bytes.give(99);
        assertThat(bytes.held()).isZero();
    }

    @Test
    void aStreamOfLinesHoldsNoMoreThanTheBoundHoweverManyMayRun() {
        var bytes = new BytesInFlight(1_000);
        List<Sinks.One<Integer>> running = new ArrayList<>();
        List<Integer> done = new ArrayList<>();
        Flux.range(0, 100)
                .concatMap(i -> bytes.take(300).thenReturn(i), 1)
                .flatMap(
                        i -> {
                            Sinks.One<Integer> end = Sinks.one();
                            running.add(end);
                            return end.asMono().doFinally(signal -> bytes.give(300));
                        },
                        64,
                        1)
                .subscribe(done::add);
        for (int i = 0; i < 100; i++) {
            assertThat(running.size() - done.size()).isLessThanOrEqualTo(3);
            assertThat(bytes.held()).isLessThanOrEqualTo(900);
            running.get(i).tryEmitValue(i).orThrow();
        }
        assertThat(done).hasSize(100);
        assertThat(bytes.held()).isZero();
    }
}

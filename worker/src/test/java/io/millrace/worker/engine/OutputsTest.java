package io.millrace.worker.engine;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

class OutputsTest {

    private final List<String> heard = new ArrayList<>();
    private final Outputs outputs = new Outputs("outputs");

    /** What was delivered when all is. */
    private List<String> all() {
        outputs.start();
        outputs.close();
        return heard;
    }

    @Test
    void whatIsAddedTogetherIsHandedOverAtTheEndAndInOrder() {
        outputs.add(() -> heard.add("before"));
        outputs.together(() -> {
            outputs.add(() -> heard.add("first"));
            Thread other = Thread.ofPlatform().start(() -> outputs.add(() -> heard.add("another thread's")));
            join(other);
            outputs.add(() -> heard.add("second"));
        });
        outputs.add(() -> heard.add("after"));

        assertThat(all()).containsExactly("before", "another thread's", "first", "second", "after");
    }

    @Test
    void aListenerThatThrowsTakesNothingFromTheOthersOfItsGroup() {
        outputs.together(() -> {
            outputs.add(() -> heard.add("first"));
            outputs.add(() -> {
                throw new IllegalStateException("a listener's own fault");
            });
            outputs.add(() -> heard.add("third"));
        });

        assertThat(all()).containsExactly("first", "third");
    }

    @Test
    void whatWasAddedBeforeAFailureIsHandedOver() {
        assertThatThrownBy(() -> outputs.together(() -> {
                    outputs.add(() -> heard.add("first"));
                    throw new IllegalStateException("booking");
                }))
                .hasMessage("booking");
        outputs.add(() -> heard.add("after"));

        assertThat(all()).containsExactly("first", "after");
    }

    @Test
    void whatIsAddedAsItEndsOrLaterIsDeliveredAllTheSame() {
        CountDownLatch entered = new CountDownLatch(1);
        CountDownLatch release = new CountDownLatch(1);
        outputs.add(() -> {
            entered.countDown();
            await(release);
        });
        outputs.start();
        await(entered);
        Thread closing = Thread.ofPlatform().daemon().start(outputs::close);
        while (closing.getState() != Thread.State.WAITING) {
            Thread.onSpinWait();
        }
        outputs.add(() -> heard.add("behind the end"));
        release.countDown();
        join(closing);
        outputs.add(() -> heard.add("after the end"));

        assertThat(heard).containsExactly("behind the end", "after the end");
    }

    @Test
    void aListenerThatAddsMoreThanFitsDoesNotWaitForItself() {
        int many = 70_000;
        CountDownLatch added = new CountDownLatch(1);
        AtomicInteger delivered = new AtomicInteger();
        outputs.add(() -> {
            for (int i = 0; i < many; i++) {
                outputs.add(delivered::incrementAndGet);
            }
            added.countDown();
        });
        outputs.start();
        await(added);
        outputs.close();

        assertThat(delivered).hasValue(many);
    }

    private static void await(CountDownLatch latch) {
        try {
            assertThat(latch.await(20, TimeUnit.SECONDS)).isTrue();
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    private static void join(Thread thread) {
        try {
            thread.join();
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }
}

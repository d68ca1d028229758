package io.millrace.worker.engine;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.List;
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

    private static void join(Thread thread) {
        try {
            thread.join();
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }
}

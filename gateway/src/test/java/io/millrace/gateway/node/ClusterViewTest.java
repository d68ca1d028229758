package io.millrace.gateway.node;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.shared.log.Clock;
import io.millrace.shared.log.LogRecord;
import io.millrace.shared.proto.MemberBeat;
import io.millrace.shared.proto.ModelCredit;
import io.millrace.shared.topic.Topic;
import java.time.Duration;
import org.junit.jupiter.api.Test;

/** When a gateway may say that it knows who serves a model. */
class ClusterViewTest {

    private static final Duration TIMEOUT = Duration.ofMillis(300);
    private final ClusterView view = new ClusterView(
            new NodeSettings("g", TIMEOUT, TIMEOUT, TIMEOUT, TIMEOUT, TIMEOUT, TIMEOUT, 1024),
            Clock.SYSTEM,
            Gossip.NONE);

    private void beat(MemberBeat beat) {
        view.onRecord(new LogRecord(Topic.MEMBERS, 0, 0, 0, beat.getNode(), beat.toByteArray()));
    }

    @Test
    void nothingIsDecidedBeforeItsOwnBeatHasComeBack() {
        beat(MemberBeat.newBuilder()
                .setNode("r")
                .setRole(MemberBeat.Role.ROUTER)
                .addCredits(ModelCredit.newBuilder().setModel("m"))
                .build());
        assertThat(view.decided("m")).isFalse();
        assertThat(view.ownBeatAgeMs()).isNegative();
        beat(MemberBeat.newBuilder()
                .setNode("g")
                .setRole(MemberBeat.Role.GATEWAY)
                .build());
        assertThat(view.decided("m")).isTrue();
        assertThat(view.decided("other")).isFalse();
    }

    @Test
    void anUnknownNameIsWaitedForOnlyForTheMemberTimeout() {
        beat(MemberBeat.newBuilder()
                .setNode("g")
                .setRole(MemberBeat.Role.GATEWAY)
                .build());
        view.awaitDecided("other").block(Duration.ofSeconds(10));
        assertThat(view.model("other")).isNull();
        view.awaitDecided("other").block(Duration.ofSeconds(10));
        assertThat(view.decided("other")).isTrue();
    }
}

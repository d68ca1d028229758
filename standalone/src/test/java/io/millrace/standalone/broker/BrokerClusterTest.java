package io.millrace.standalone.broker;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;

class BrokerClusterTest {

    private static final String VOTERS = "1@127.0.0.1:9093, 2@127.0.0.1:9094,3@127.0.0.1:9095";

    @Test
    void nodesOfOneNameAgreeOnTheClusterAndEachKnowsItsController() {
        BrokerCluster first = BrokerCluster.of(1, VOTERS, "east");
        BrokerCluster second = BrokerCluster.of(2, VOTERS, "east");

        assertThat(first.id())
                .isEqualTo(second.id())
                .isNotEqualTo(BrokerCluster.of(1, VOTERS, "west").id());
        assertThat(second.controller()).isEqualTo("127.0.0.1:9094");
        assertThat(first.replicas()).isEqualTo(3);
        assertThat(first.inSync()).isEqualTo(2);
    }

    @Test
    void withoutVotersABrokerIsAlone() {
        BrokerCluster alone = BrokerCluster.of(1, "", "any");

        assertThat(alone.alone()).isTrue();
        assertThat(alone.replicas()).isEqualTo(1);
        assertThat(alone.inSync()).isEqualTo(1);
    }

    @Test
    void votersThatMakeNoSenseAreNamed() {
        assertThatThrownBy(() -> BrokerCluster.of(4, VOTERS, "east"))
                .hasToString("[MR-BROKER-007] millrace.broker.node is 4, which millrace.broker.voters"
                        + " (1@127.0.0.1:9093,2@127.0.0.1:9094,3@127.0.0.1:9095) does not name. Give every node all voters,"
                        + " itself included.");
        assertThatThrownBy(() -> BrokerCluster.of(1, "1@here", "east")).hasMessageContaining("'1@here'");
    }
}

package io.millrace.shared.net;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;

class FreePortTest {
    private static final String HERE = "127.0.0.1";

    @Test
    void noneIsOneThatTheSystemGivesAway() throws IOException {
        List<Integer> ports = FreePort.several(20, HERE);

        assertThat(Set.copyOf(ports)).hasSize(20);
        try (ServerSocket given = new ServerSocket(0, 1, InetAddress.getByName(HERE))) {
            assertThat(ports).allMatch(port -> port < given.getLocalPort());
        }
    }

    @Test
    void eachCanBeBound() throws IOException {
        try (ServerSocket one = new ServerSocket(FreePort.on(HERE), 1, InetAddress.getByName(HERE));
                ServerSocket other = new ServerSocket(FreePort.on(null))) {
            assertThat(one.isBound()).isTrue();
            assertThat(other.isBound()).isTrue();
        }
    }

    @Test
    void aHostOfAnotherMachineHasNone() {
        assertThatThrownBy(() -> FreePort.on("192.0.2.1"))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("192.0.2.1");
    }
}

package io.millrace.worker.journal;

import static org.assertj.core.api.Assertions.assertThat;

import java.net.InetAddress;
import java.net.Socket;
import org.junit.jupiter.api.Test;

class LivenessListenerTest {

    private static int port(LivenessListener listener) {
        String address = listener.address();
        return Integer.parseInt(address.substring(address.lastIndexOf(':') + 1));
    }

    @Test
    void itListensOnTheGivenAddressAlone() throws Exception {
        try (var listener = new LivenessListener("127.0.0.1", 0)) {
            assertThat(listener.address()).startsWith("127.0.0.1:");
            assertThat(listener.bound()).isEqualTo(InetAddress.getByName("127.0.0.1"));
            try (Socket connection = new Socket("127.0.0.1", port(listener))) {
                assertThat(connection.isConnected()).isTrue();
            }
        }
    }

    @Test
    void withoutAHostOrWithOneThatIsElsewhereItListensOnAllAddresses() throws Exception {
        try (var any = new LivenessListener("", 0);
                var elsewhere = new LivenessListener("192.0.2.1", 0)) {
            assertThat(any.bound().isAnyLocalAddress()).isTrue();
            assertThat(elsewhere.bound().isAnyLocalAddress()).isTrue();
            assertThat(elsewhere.address()).startsWith("192.0.2.1:");
        }
    }
}

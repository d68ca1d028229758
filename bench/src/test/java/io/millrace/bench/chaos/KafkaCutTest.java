package io.millrace.bench.chaos;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assumptions.assumeThat;

import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.util.List;
import org.junit.jupiter.api.Test;

class KafkaCutTest {

    private static final InetAddress HERE = loopback((byte) 0, (byte) 1);
    private static final InetAddress THERE = loopback((byte) 3, (byte) 7);

    @Test
    void whatIsSentWhileItIsCutArrivesAfterwardsAndConnectionsStay() throws IOException {
        assumeThat(canListen()).as("more loopback addresses than one").isTrue();
        try (ServerSocket broker = new ServerSocket(0, 1, HERE);
                KafkaCut cut = new KafkaCut(THERE, List.of(broker.getLocalPort()));
                Socket client = new Socket(THERE, broker.getLocalPort());
                Socket served = broker.accept()) {
            client.getOutputStream().write(1);
            assertThat(served.getInputStream().read()).isEqualTo(1);

            cut.cut();
            client.getOutputStream().write(2);
            served.setSoTimeout(50);
            assertThatThrownBy(() -> served.getInputStream().read()).isInstanceOf(SocketTimeoutException.class);

            cut.heal();
            served.setSoTimeout(10_000);
            assertThat(served.getInputStream().read()).isEqualTo(2);
            served.getOutputStream().write(3);
            assertThat(client.getInputStream().read()).isEqualTo(3);
        }
    }

    private static boolean canListen() {
        try (ServerSocket any = new ServerSocket(0, 1, THERE)) {
            return any.isBound();
        } catch (IOException no) {
            return false;
        }
    }

    private static InetAddress loopback(byte third, byte fourth) {
        try {
            return InetAddress.getByAddress(new byte[] {127, 0, third, fourth});
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
    }
}
